/** Packets that the switch reports to the agent: for the log, to be answered, and to learn from. */
import type { Logger } from '../../platform/logger.js';
import { describeError } from '../../model/errors.js';
import { answerTo } from './answers.js';
import { PORT } from './openflow/constants.js';
import type { FieldName } from './openflow/fields.js';
import { encodePacketOut, type PacketIn } from './openflow/packets.js';
import type { BridgeConnection } from './session.js';
import type { SwitchFrames } from './switch-frames.js';
import type { SwitchReplies } from './switch-replies.js';
import { FLAG, REGISTER } from './pipeline/stages.js';
import { register } from './pipeline/flow.js';

export interface LoggedPacket {
  /** Of the rule that decided; of a layer 2 rule: see layer2Id. */
  readonly label: number;
  readonly layer2: boolean;
  /** Names of the bridge's ports; undefined where there is none. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly frame: Uint8Array;
  readonly length: number;
}

export class Reports {
  constructor(private readonly deps: {
    readonly bridge: () => BridgeConnection;
    readonly log: Logger;
    readonly onLogged: (packet: LoggedPacket) => void;
    readonly replies: Pick<SwitchReplies, 'take'>;
    readonly frames: Pick<SwitchFrames, 'take'>;
  }) {}

  /** One packet-in of ours. Never throws. */
  take(report: PacketIn): void {
    try {
      if (this.deps.replies.take(report) || this.deps.frames.take(report)) return;
      const value = (field: FieldName): number => Number(report.metadata.fields.find((entry) => entry.field === field)?.value ?? 0);
      const flags = value(register(REGISTER.flags));
      const inPort = value('in_port');
      if ((flags & FLAG.log) !== 0) this.logged(report, flags, inPort, value(register(REGISTER.label)), value(register(REGISTER.port)));
      // A copy for every port may be for somebody else, whose filter might let it pass.
      if ((flags & (FLAG.reject | FLAG.copy)) === FLAG.reject) this.answer(report, inPort);
    } catch (error) {
      this.deps.log.warn('ovs.report_failed', { error: describeError(error) });
    }
  }

  private logged(report: PacketIn, flags: number, inPort: number, label: number, port: number): void {
    const bridge = this.deps.bridge();
    this.deps.onLogged({
      label, layer2: (flags & FLAG.layer2) !== 0, from: bridge.nameOf(inPort & 0xffff), to: port === 0 ? undefined : bridge.nameOf(port), frame: report.packet, length: report.fullLength,
    });
  }

  /** To the port that the packet came from, past all rules: they have decided. */
  private answer(report: PacketIn, inPort: number): void {
    const packet = answerTo(report.packet, report.fullLength);
    if (packet === undefined) return;
    this.deps.bridge().send((version) => encodePacketOut({ packet, inPort: PORT.CONTROLLER, actions: [{ type: 'output', port: inPort }] }, version));
  }
}
