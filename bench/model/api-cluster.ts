/** A cluster as an API server has it: Pods of the size that real ones have, most of which nobody here looks at. */
import { addressText } from './policy.js';

export interface ApiClusterOptions {
  readonly pods: number;
  readonly policies: number;
  readonly namespaces: number;
  readonly nodes: number;
  /** Pods of our node, in the first namespace. */
  readonly localPods: number;
}

interface Manifest { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown }; readonly [field: string]: unknown }

const FIRST_POD = 0x0a00_0000;
const APPLICATIONS = 20;
export const OUR_NODE = 'bench';

export function podName(index: number): string {
  return `app-${index % APPLICATIONS}-6d4b75cb6d-${index.toString(36).padStart(5, '0')}`;
}

export function* apiCluster({ pods, policies, namespaces, nodes, localPods }: ApiClusterOptions): Generator<Manifest> {
  for (let index = 0; index < namespaces; index += 1) yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `ns-${index}`, labels: { team: `team-${index % 50}`, stage: index % 3 === 0 ? 'prod' : 'test' } } };
  for (let index = 0; index < nodes; index += 1) {
    yield { apiVersion: 'v1', kind: 'Node', metadata: { name: index === 0 ? OUR_NODE : `node-${index}`, labels: { 'kubernetes.io/os': 'linux' } }, status: { addresses: [{ type: 'InternalIP', address: addressText(0xac10_0000 + index) }] } };
  }
  for (let index = 0; index < pods; index += 1) yield pod(index, index < localPods ? 0 : index % namespaces, index < localPods ? OUR_NODE : `node-${1 + (index % (nodes - 1))}`);
  for (let index = 0; index < policies; index += 1) yield policy(index, index % namespaces);
}

function policy(index: number, namespace: number): Manifest {
  const application = (offset: number): object => ({ matchLabels: { app: `app-${(index + offset) % APPLICATIONS}` } });
  return {
    apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: `np-${index}`, namespace: `ns-${namespace}`, annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(600) } },
    spec: {
      podSelector: application(0), policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ podSelector: application(1) }, { namespaceSelector: { matchLabels: { team: `team-${index % 50}` } }, podSelector: application(2) }], ports: [{ protocol: 'TCP', port: 80 + (index % 100) }] }],
      egress: [{ to: [{ podSelector: application(3) }, { ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.7/32'] } }], ports: [{ protocol: 'TCP', port: 443 }] }],
    },
  };
}

/** Some 6 kB, as a small Deployment's Pods have. */
function pod(index: number, namespace: number, nodeName: string): Manifest {
  const app = `app-${index % APPLICATIONS}`;
  const address = addressText(FIRST_POD + index);
  const uid = `0d1f6f5e-7b1c-4c0a-9f2e-${index.toString(16).padStart(12, '0')}`;
  const container = (name: string): object => ({
    name, image: `registry.example.com/team/${name}:v1.2.${index % 30}`, ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }, { name: 'metrics', containerPort: 9090, protocol: 'TCP' }],
    env: Array.from({ length: 8 }, (_, each) => ({ name: `SETTING_${each}`, value: `value-${each}-of-${app}` })),
    resources: { limits: { cpu: '500m', memory: '256Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
    volumeMounts: [{ name: 'kube-api-access-abcde', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
    livenessProbe: { httpGet: { path: '/healthz', port: 'http', scheme: 'HTTP' }, initialDelaySeconds: 5, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
    terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File', imagePullPolicy: 'IfNotPresent',
  });
  const condition = (type: string): object => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: '2026-01-02T03:04:05Z' });
  const managed = (manager: string): object => ({
    manager, operation: 'Update', apiVersion: 'v1', time: '2026-01-02T03:04:05Z', fieldsType: 'FieldsV1',
    fieldsV1: { 'f:metadata': { 'f:labels': { '.': {}, 'f:app': {}, 'f:pod-template-hash': {} } }, 'f:spec': { 'f:containers': { [`k:{"name":"${app}"}`]: Object.fromEntries(Array.from({ length: 16 }, (_, each) => [`f:field${each}`, {}])) }, 'f:dnsPolicy': {}, 'f:restartPolicy': {} }, 'f:status': { 'f:conditions': Object.fromEntries(Array.from({ length: 6 }, (_, each) => [`k:{"type":"Condition${each}"}`, { '.': {}, 'f:status': {}, 'f:type': {} }])) } },
  });
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name: podName(index), generateName: `${app}-6d4b75cb6d-`, namespace: `ns-${namespace}`, uid,
      labels: { app, 'pod-template-hash': '6d4b75cb6d', version: `v${index % 5}` }, annotations: { 'kubectl.kubernetes.io/restartedAt': '2026-01-02T03:04:05Z' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${app}-6d4b75cb6d`, uid, controller: true, blockOwnerDeletion: true }],
      managedFields: [managed('kube-controller-manager'), managed('kubelet')],
    },
    spec: {
      volumes: [{ name: 'kube-api-access-abcde', projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }, { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } }], defaultMode: 420 } }],
      containers: [container(app), container('sidecar')], restartPolicy: 'Always', terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst', serviceAccountName: 'default', serviceAccount: 'default', nodeName,
      securityContext: {}, schedulerName: 'default-scheduler', tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }], priority: 0, enableServiceLinks: true, preemptionPolicy: 'PreemptLowerPriority',
    },
    status: {
      phase: 'Running', conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map(condition), hostIP: '172.16.0.9', hostIPs: [{ ip: '172.16.0.9' }], podIP: address, podIPs: [{ ip: address }], startTime: '2026-01-02T03:04:05Z', qosClass: 'Burstable',
      containerStatuses: [app, 'sidecar'].map((name) => ({ name, state: { running: { startedAt: '2026-01-02T03:04:05Z' } }, lastState: {}, ready: true, restartCount: 0, image: `registry.example.com/team/${name}:v1.2.3`, imageID: `registry.example.com/team/${name}@sha256:${uid.replaceAll('-', '')}${uid.replaceAll('-', '')}`, containerID: `containerd://${uid.replaceAll('-', '')}${uid.replaceAll('-', '')}`, started: true })),
    },
  };
}
