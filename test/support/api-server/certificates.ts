/** An authority of a test's own: certificates for the server and for its clients. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun } from '../command.js';

export interface KeyPair { readonly key: string; readonly cert: string }

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority {
  private constructor(private readonly directory: string, readonly cert: string) {}

  static async create(): Promise<Authority> {
    const directory = await mkdtemp(join(tmpdir(), 'dfwt-ca-'));
    await mustRun('openssl', ['req', '-x509', ...CURVE, '-keyout', join(directory, 'ca.key'), '-out', join(directory, 'ca.pem'), '-days', '2', '-subj', '/CN=dfw-test-ca']);
    return new Authority(directory, await readFile(join(directory, 'ca.pem'), 'utf8'));
  }

  /** For 127.0.0.1, ::1 and localhost. `expired`: it was valid until yesterday. */
  async server(options: { readonly expired?: boolean } = {}): Promise<KeyPair> {
    return this.issue('/CN=kube-apiserver', 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n', options.expired ?? false);
  }

  async client(user: string, group = 'system:masters', options: { readonly expired?: boolean } = {}): Promise<KeyPair> {
    return this.issue(`/O=${group}/CN=${user}`, 'extendedKeyUsage=clientAuth\n', options.expired ?? false);
  }

  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private async issue(subject: string, extensions: string, expired: boolean): Promise<KeyPair> {
    const name = join(this.directory, `c${Math.random().toString(36).slice(2)}`);
    await writeFile(`${name}.ext`, extensions);
    await mustRun('openssl', ['req', ...CURVE, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject]);
    const day = (offset: number): string => `${new Date(Date.now() + offset * 86_400_000).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`;
    const ca = join(this.directory, 'ca');
    if (expired) {
      await writeFile(`${name}.db`, '');
      await writeFile(`${name}.cnf`, `[ca]\ndefault_ca=d\n[d]\ndatabase=${name}.db\nnew_certs_dir=${this.directory}\ndefault_md=sha256\npolicy=p\nrand_serial=yes\ncopy_extensions=none\n[p]\ncommonName=supplied\norganizationName=optional\n`);
      await mustRun('openssl', ['ca', '-batch', '-config', `${name}.cnf`, '-cert', `${ca}.pem`, '-keyfile', `${ca}.key`, '-in', `${name}.csr`, '-out', `${name}.pem`, '-notext', '-extfile', `${name}.ext`, '-startdate', day(-3), '-enddate', day(-1)]);
    } else {
      await mustRun('openssl', ['x509', '-req', '-in', `${name}.csr`, '-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-out', `${name}.pem`, '-days', '1', '-extfile', `${name}.ext`]);
    }
    return { key: await readFile(`${name}.key`, 'utf8'), cert: await readFile(`${name}.pem`, 'utf8') };
  }
}
