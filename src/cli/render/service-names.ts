/** Names of well-known ports as flows show them (IANA service-names). Keep in step with native/flow_service.cc, which prints whole tables. */
const SERVICES: ReadonlyMap<string, ReadonlyMap<number, string>> = new Map([
  ['tcp', new Map([
    [7, 'echo'], [9, 'discard'], [20, 'ftp-data'], [21, 'ftp'], [22, 'ssh'], [23, 'telnet'], [25, 'smtp'], [37, 'time'], [43, 'whois'],
    [49, 'tacacs'], [53, 'domain'], [70, 'gopher'], [79, 'finger'], [80, 'http'], [88, 'kerberos'], [110, 'pop3'], [111, 'sunrpc'],
    [113, 'auth'], [119, 'nntp'], [135, 'epmap'], [137, 'netbios-ns'], [138, 'netbios-dgm'], [139, 'netbios-ssn'], [143, 'imap2'],
    [161, 'snmp'], [162, 'snmp-trap'], [179, 'bgp'], [389, 'ldap'], [443, 'https'], [445, 'microsoft-ds'], [464, 'kpasswd'],
    [465, 'submissions'], [512, 'exec'], [513, 'login'], [514, 'shell'], [515, 'printer'], [548, 'afpovertcp'], [554, 'rtsp'],
    [587, 'submission'], [631, 'ipp'], [636, 'ldaps'], [646, 'ldp'], [853, 'domain-s'], [873, 'rsync'], [989, 'ftps-data'], [990, 'ftps'],
    [993, 'imaps'], [995, 'pop3s'], [1080, 'socks'], [1194, 'openvpn'], [1433, 'ms-sql-s'], [1883, 'mqtt'], [2049, 'nfs'],
    [2379, 'etcd-client'], [2380, 'etcd-server'], [3128, 'squid'], [3260, 'iscsi-target'], [3268, 'msft-gc'], [3306, 'mysql'],
    [3389, 'ms-wbt-server'], [3478, 'stun'], [5060, 'sip'], [5061, 'sips'], [5432, 'postgresql'], [5671, 'amqps'], [5672, 'amqp'],
    [5900, 'rfb'], [5985, 'wsman'], [5986, 'wsmans'], [6379, 'redis'], [6640, 'ovsdb'], [6653, 'openflow'], [8080, 'http-alt'],
    [8883, 'secure-mqtt'], [9418, 'git'], [10250, 'kubelet'], [11211, 'memcache'], [27017, 'mongodb'],
  ])],
  ['udp', new Map([
    [7, 'echo'], [9, 'discard'], [37, 'time'], [49, 'tacacs'], [53, 'domain'], [67, 'bootps'], [68, 'bootpc'], [69, 'tftp'],
    [88, 'kerberos'], [111, 'sunrpc'], [123, 'ntp'], [135, 'epmap'], [137, 'netbios-ns'], [138, 'netbios-dgm'], [161, 'snmp'],
    [162, 'snmp-trap'], [177, 'xdmcp'], [389, 'ldap'], [443, 'https'], [464, 'kpasswd'], [500, 'isakmp'], [514, 'syslog'], [520, 'route'],
    [546, 'dhcpv6-client'], [547, 'dhcpv6-server'], [554, 'rtsp'], [623, 'asf-rmcp'], [631, 'ipp'], [646, 'ldp'], [853, 'domain-s'],
    [1194, 'openvpn'], [1434, 'ms-sql-m'], [1701, 'l2f'], [1812, 'radius'], [1813, 'radius-acct'], [2049, 'nfs'], [3389, 'ms-wbt-server'],
    [3478, 'stun'], [4500, 'ipsec-nat-t'], [4789, 'vxlan'], [5060, 'sip'], [5061, 'sips'], [5353, 'mdns'], [5355, 'llmnr'],
    [6081, 'geneve'], [11211, 'memcache'],
  ])],
  ['sctp', new Map([
    [3868, 'diameter'], [5060, 'sip'], [36412, 's1-control'],
  ])],
]);

/** "Unknown" for a port without a name and for protocols without ports. */
export function serviceName(port: number, protocol: string): string {
  return SERVICES.get(protocol)?.get(port) ?? 'Unknown';
}
