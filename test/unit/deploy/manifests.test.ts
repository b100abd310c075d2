/** deploy/: what the API server would take, and what fits together. What it may do is test/contract/kubernetes-rbac.test.ts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../../src/app/config.js';
import { schemaProblems } from '../../support/api-schema.js';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const documents = (file: string): unknown[] => parseAllDocuments(read(file)).map((document) => document.toJS() as unknown);
const FILES = ['deploy/kubernetes', 'deploy/crds'].flatMap((folder) => readdirSync(path.join(ROOT, folder)).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml').map((name) => `${folder}/${name}`));

interface Mount { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }
interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources: { readonly requests?: object; readonly limits?: object };
  readonly volumeMounts?: readonly Mount[];
  readonly livenessProbe?: { readonly exec?: { readonly command: readonly string[] } };
}
interface DaemonSet {
  readonly spec: { readonly updateStrategy: unknown; readonly template: { readonly spec: { readonly containers: Container[]; readonly initContainers: Container[]; readonly volumes: Record<string, unknown>[] } } };
}
const daemonSet = (): DaemonSet => structuredClone(documents('deploy/kubernetes/daemonset.yaml')[0]) as DaemonSet;
const pod = (): DaemonSet['spec']['template']['spec'] => daemonSet().spec.template.spec;
const containerOf = (name: string): Container => pod().containers.find((each) => each.name === name) ?? expect.fail(`no container ${name}`);
const mountsOf = (container: Container): Map<string, Mount> => new Map((container.volumeMounts ?? []).map((mount) => [mount.mountPath, mount]));

describe('the API server', () => {
  it.each(FILES)('would take %s', (file) => {
    expect(documents(file).flatMap(schemaProblems)).toEqual([]);
  });

  it('would not take these', () => {
    const change = (edit: (spec: DaemonSet['spec']) => void): string[] => {
      const changed = daemonSet();
      edit(changed.spec);
      return schemaProblems(changed);
    };
    const first = (spec: DaemonSet['spec']): Record<string, unknown> => spec.template.spec.containers[0] as unknown as Record<string, unknown>;
    expect(change((spec) => Object.assign(first(spec), { livenesProbe: {} }))).toEqual(['DaemonSet.spec.template.spec.containers[0].livenesProbe: no such field']);
    expect(change((spec) => Object.assign(first(spec), { livenessProbe: { periodSeconds: 1.5 } }))).toEqual(['DaemonSet.spec.template.spec.containers[0].livenessProbe.periodSeconds: 1.5 is no integer']);
    expect(change((spec) => delete first(spec)['name'])).toEqual(['DaemonSet.spec.template.spec.containers[0].name: is required']);
    expect(change((spec) => Object.assign(spec.template.spec, { volumes: {} }))).toEqual(['DaemonSet.spec.template.spec.volumes: no list']);
    expect(change((spec) => Object.assign(first(spec), { command: [7] }))).toEqual(['DaemonSet.spec.template.spec.containers[0].command[0]: 7 is no string']);
    expect(schemaProblems({ apiVersion: 'apps/v1', kind: 'DemonSet' })).toEqual(['the API has no apps/v1 DemonSet']);
  });
});

describe('the pod', () => {
  it('mounts each of its volumes, at one place, and no other', () => {
    const { containers, initContainers, volumes } = pod();
    const mounted = [...containers, ...initContainers].flatMap(({ volumeMounts = [] }) => volumeMounts);
    expect([...new Set(mounted.map(({ name }) => name))].sort()).toEqual(volumes.map(({ name }) => String(name)).sort());
    const places = new Map<string, string>();
    for (const { name, mountPath } of mounted) {
      expect([name, places.get(name) ?? mountPath]).toEqual([name, mountPath]);
      places.set(name, mountPath);
    }
  });

  it('has bounds for every container, and nothing that is not needed', () => {
    const { containers, initContainers } = pod();
    for (const { resources } of [...containers, ...initContainers]) expect(resources).toMatchObject({ requests: { memory: expect.any(String) as unknown }, limits: { memory: expect.any(String) as unknown } });
    const privileged = [...containers, ...initContainers].filter(({ securityContext }) => securityContext['privileged'] === true);
    expect(privileged.map(({ name }) => name)).toEqual(['sysctls']);
    for (const { securityContext } of [...containers, ...initContainers].filter(({ name }) => name !== 'sysctls')) {
      expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(securityContext['capabilities']).toMatchObject({ drop: ['ALL'] });
    }
  });

  it('is replaced one by one, the old one first', () => {
    expect(daemonSet().spec.updateStrategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } });
  });

  it('has the engine that the configuration speaks of', () => {
    const [{ data } = {}] = documents('deploy/kubernetes/configmap.yaml') as { data?: Record<string, string> }[];
    const { ids, stateDir, audit, api } = loadConfig({ argv: ['--config', '/etc/dfw-agent/agent.yaml'], env: { DFW_NODE: 'n1' }, readFile: () => data?.['agent.yaml'] });
    expect(ids).toMatchObject({ enabled: true, engine: 'external', mode: 'ids', endsWithAgent: true });
    const [agent, engine] = [containerOf('agent'), containerOf('engine')];
    const [atAgent, atEngine] = [mountsOf(agent), mountsOf(engine)];
    expect(engine.image).toBe(agent.image);
    expect(engine.command).toEqual(['dfw-engine', ids.engineDirectory]);
    expect(engine.livenessProbe?.exec?.command).toEqual(['dfw-engine', '--alive', ids.commandSocket]);
    for (const [place, readOnly] of [[ids.engineDirectory, true], [path.dirname(ids.commandSocket), undefined], [path.dirname(ids.eveFile), undefined]] as const) {
      expect(atAgent.get(place)).toEqual({ name: atEngine.get(place)?.name, mountPath: place });
      expect(atEngine.get(place)?.readOnly).toBe(readOnly);
    }
    for (const place of [stateDir, path.dirname(audit.path), path.dirname(api.socket), '/etc/dfw-agent/agent.yaml']) expect(atAgent.has(place)).toBe(true);
    // Else nothing of the image's directory would be left.
    expect(ids.signatures).toBe('/etc/dfw-agent/signatures');
    expect([...atAgent.keys()]).not.toContain('/etc/dfw-agent');
    expect(read('deploy/Dockerfile')).toContain(`/src/deploy/signatures ${ids.signatures}\n`);
  });
});

describe('the image', () => {
  const lines = read('deploy/Dockerfile').replaceAll('\\\n', ' ').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const ignored = read('.dockerignore').split('\n').filter((line) => line !== '');

  it('is made of files that are there and are sent to the builder, or that the build makes', () => {
    const copied = lines.filter((line) => line.startsWith('COPY ')).flatMap((line) => line.split(/ +/).slice(1, -1)).filter((name) => !name.startsWith('--'));
    expect(copied.length).toBeGreaterThan(10);
    for (const name of copied) {
      const file = name.replace(/^\/src\//, '');
      expect([file, existsSync(path.join(ROOT, file))]).toEqual([file, true]);
      if (name === file) expect(ignored).not.toContain(file);
    }
  });

  it('is built with the libraries that the addon and the CNI plugin need here', () => {
    const libraries = [...new Set(read('scripts/setup').match(/[\w-]+-dev\b/g))];
    expect(libraries.length).toBeGreaterThan(5);
    const built = lines.find((line) => line.startsWith('RUN apt-get update'))?.split(/ +/);
    for (const library of libraries) expect(built).toContain(library);
  });

  it('has the signature that is always loaded where the agent looks for it, as an installed agent has', () => {
    expect(read('src/app/ids-wiring.ts')).toContain("join(environment.installDir, 'deploy/signatures/dfw-test.rules')");
    expect(lines).toContain('COPY --from=build /src/deploy/signatures deploy/signatures');
    expect(read('scripts/install')).toContain('cp -r deploy/signatures "$TARGET.new/deploy/"\n');
  });

  it('has every program that the pod starts', () => {
    const { containers, initContainers } = pod();
    const started = [...containers, ...initContainers].flatMap(({ command, livenessProbe }) => [command?.[0], livenessProbe?.exec?.command[0]]).filter((name) => name !== undefined);
    for (const name of started.filter((each) => !['sh', 'rm'].includes(each))) {
      expect(existsSync(path.join(ROOT, 'bin', name))).toBe(true);
      expect(lines.join('\n')).toContain(`ln -s /usr/lib/dfw-agent/bin/${name} /usr/bin/${name}`);
    }
    expect(lines.at(-1)).toBe('ENTRYPOINT ["/usr/bin/dfw-agent"]');
  });
});
