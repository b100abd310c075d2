/** How the API server is reached and who we are there, as it stands now. */
export interface Credentials {
  /** Base URL without a slash at its end. */
  readonly server: string;
  /** PEM; absent: the system's authorities. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Name in the server's certificate, where it is not that of the URL. */
  readonly serverName?: string;
  /** The kubeconfig says not to check the server's certificate. */
  readonly insecure: boolean;
  /** Authorization, impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** `http:` or `https:` proxy. */
  readonly proxy?: string;
  /** Files that it was made of: when one changes, it is out of date. */
  readonly files: readonly string[];
}

/** Reads kubeconfig (undefined: that of the pod we run in), runs exec plugins. */
export interface CredentialsReader {
  /** Rejects with E_CONFIG for what somebody must mend, E_IO for what may go away by itself. */
  read(kubeconfig: string | undefined): Promise<Credentials>;
}
