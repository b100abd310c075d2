/** Names of well-known ports (IANA service-names) as flows show them; any other port is "Unknown". */
const SERVICES: readonly (readonly [number, string])[] = [
  [20, 'ftp-data'], [21, 'ftp'], [22, 'ssh'], [23, 'telnet'], [25, 'smtp'], [53, 'domain'], [67, 'bootps'], [68, 'bootpc'], [69, 'tftp'], [80, 'http'],
  [88, 'kerberos'], [110, 'pop3'], [111, 'sunrpc'], [123, 'ntp'], [135, 'epmap'], [137, 'netbios-ns'], [138, 'netbios-dgm'], [139, 'netbios-ssn'],
  [143, 'imap'], [161, 'snmp'], [162, 'snmptrap'], [179, 'bgp'], [389, 'ldap'], [443, 'https'], [445, 'microsoft-ds'], [464, 'kpasswd'], [514, 'syslog'],
  [546, 'dhcpv6-client'], [547, 'dhcpv6-server'], [587, 'submission'], [636, 'ldaps'], [853, 'domain-s'], [873, 'rsync'], [993, 'imaps'], [995, 'pop3s'],
  [1433, 'ms-sql-s'], [1521, 'oracle'], [2049, 'nfs'], [2379, 'etcd-client'], [2380, 'etcd-server'], [3128, 'squid'], [3260, 'iscsi-target'],
  [3306, 'mysql'], [3389, 'ms-wbt-server'], [4789, 'vxlan'], [5432, 'postgresql'], [5671, 'amqps'], [5672, 'amqp'], [6081, 'geneve'], [6379, 'redis'],
  [6443, 'sun-sr-https'], [8080, 'http-alt'], [8443, 'pcsync-https'], [9092, 'kafka'], [11211, 'memcache'], [27017, 'mongodb'],
];
const NAMES: ReadonlyMap<number, string> = new Map(SERVICES);

/** Undefined for a port without a name and for protocols without ports. */
export function serviceName(port: number, protocol: string): string | undefined {
  return protocol === 'icmp' || protocol === 'ipv6-icmp' ? undefined : NAMES.get(port);
}
