/** What the agent does when a container runtime's plugin asks: the answer to ADD is given when the filter is in force. */
import type { CniInterface, CniRequest } from '../api/cni-messages.js';
import type { CniAttachments } from '../discovery/cni-attachments.js';
import { AgentError, describeError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import type { Clock } from '../platform/clock.js';
import type { ReconcileLoop } from '../reconcile/loop.js';
import type { Datapath } from './datapath.js';
import type { Enforcement } from './enforcement.js';

export interface CniServiceOptions {
  readonly containers: CniAttachments;
  readonly datapath: Pick<Datapath, 'realized' | 'linksChanged'>;
  readonly loop: Pick<ReconcileLoop, 'flush'>;
  readonly enforcement: Pick<Enforcement, 'name' | 'attached' | 'settled'>;
  readonly clock: Clock;
}

/** The plugin's own time limit ends a little later: it hears why. */
const MARGIN_MS = 100;
const AGAIN_MS = 20;

export class CniService {
  constructor(private readonly options: CniServiceOptions) {}

  /** Resolves when it is done: twice is as once. Rejects with AgentError. */
  async handle(request: CniRequest, signal: AbortSignal): Promise<void> {
    const { containers } = this.options;
    switch (request.command) {
      case 'ADD':
        return this.add(request.interface, request.timeoutMs, signal);
      case 'CHECK':
        return this.check(request.interface);
      case 'DEL':
        // No longer there is as good as removed.
        containers.remove(request.key);
        return undefined;
      case 'GC':
        containers.collect(request.network, request.valid);
        return undefined;
      case 'STATUS':
        if (this.options.datapath.realized === undefined) throw notYet('nothing is in force yet: the agent is starting');
        return undefined;
    }
  }

  private async add(container: CniInterface, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { containers, clock, datapath } = this.options;
    // The interface is new: where it is enforced, and what else hooks on it, depends on what it is.
    datapath.linksChanged();
    const deadline = clock.monotonic() + timeoutMs - MARGIN_MS;
    // Both at once, for a disk is slow; neither may be missing from the answer.
    await Promise.all([containers.add(container), this.inForce(container, deadline, signal)]);
  }

  private check(container: CniInterface): void {
    const known = this.options.containers.get(container);
    if (known === undefined) throw new AgentError('E_NOT_FOUND', 'nothing is known of this interface of the container', { object: container.containerId });
    const same = known.interface === container.interface && known.pod.namespace === container.pod.namespace && known.pod.name === container.pod.name;
    if (!same) throw new AgentError('E_CONFLICT', `it is known as ${known.interface} of pod ${known.pod.namespace}/${known.pod.name}`, { object: container.containerId });
    if (this.filterOf(container) === undefined) throw notYet(`no filter of ${container.interface} is in force`);
  }

  /** Tries again while there is time: what fails now may be put right by the loop itself. */
  private async inForce(container: CniInterface, deadline: number, signal: AbortSignal): Promise<void> {
    const { clock, loop } = this.options;
    for (;;) {
      let reason: string;
      try {
        await loop.flush('cni');
        const missing = await this.missing(container);
        if (missing === undefined) return;
        reason = missing;
      } catch (error) {
        reason = describeError(error);
      }
      if (signal.aborted) throw new AgentError('E_CANCELLED', 'the plugin went away');
      if (clock.monotonic() + AGAIN_MS >= deadline) throw notYet(reason);
      await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve));
    }
  }

  /** Why the interface is not filtered after an apply; undefined when it is. */
  private async missing(container: CniInterface): Promise<string | undefined> {
    const { enforcement, datapath } = this.options;
    const filter = this.filterOf(container);
    if (filter === undefined) return `no filter of ${container.interface} is in force`;
    // nf_tables knows interfaces by their names, a switch knows ports that it has.
    if (enforcement.name === 'ovs' && !enforcement.attached(filter)) {
      datapath.linksChanged();
      return `the switch has no port ${container.interface}`;
    }
    await enforcement.settled();
    return undefined;
  }

  /** The filter in force on the interface, if it is this pod's: an Attachment that is declared may stand before ours. */
  private filterOf({ interface: device, pod }: CniInterface): Filter | undefined {
    return this.options.datapath.realized?.world.filters.find(({ interface: name, workload }) => name === device
      && workload.kind === 'Pod' && (workload.namespace ?? 'default') === pod.namespace && workload.name === pod.name);
  }
}

function notYet(reason: string): AgentError {
  return new AgentError('E_UNREACHABLE', reason, { retryable: true });
}
