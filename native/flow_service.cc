#include "flow_service.h"

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <iterator>

namespace dfw {
namespace {

enum : uint8_t { kTcp = 1, kUdp = 2, kSctp = 4, kBoth = kTcp | kUdp };

struct Service {
  uint16_t port;
  uint8_t protocols;
  std::string_view name;
};

// Sorted by port.
constexpr Service kServices[] = {
    {7, kBoth, "echo"},           {9, kBoth, "discard"},        {20, kTcp, "ftp-data"},       {21, kTcp, "ftp"},
    {22, kTcp, "ssh"},            {23, kTcp, "telnet"},         {25, kTcp, "smtp"},           {37, kBoth, "time"},
    {43, kTcp, "whois"},          {49, kBoth, "tacacs"},        {53, kBoth, "domain"},        {67, kUdp, "bootps"},
    {68, kUdp, "bootpc"},         {69, kUdp, "tftp"},           {70, kTcp, "gopher"},         {79, kTcp, "finger"},
    {80, kTcp, "http"},           {88, kBoth, "kerberos"},      {110, kTcp, "pop3"},          {111, kBoth, "sunrpc"},
    {113, kTcp, "auth"},          {119, kTcp, "nntp"},          {123, kUdp, "ntp"},           {135, kBoth, "epmap"},
    {137, kBoth, "netbios-ns"},   {138, kBoth, "netbios-dgm"},  {139, kTcp, "netbios-ssn"},   {143, kTcp, "imap2"},
    {161, kBoth, "snmp"},         {162, kBoth, "snmp-trap"},    {177, kUdp, "xdmcp"},         {179, kTcp, "bgp"},
    {389, kBoth, "ldap"},         {443, kBoth, "https"},        {445, kTcp, "microsoft-ds"},  {464, kBoth, "kpasswd"},
    {465, kTcp, "submissions"},   {500, kUdp, "isakmp"},        {512, kTcp, "exec"},          {513, kTcp, "login"},
    {514, kTcp, "shell"},         {514, kUdp, "syslog"},        {515, kTcp, "printer"},       {520, kUdp, "route"},
    {546, kUdp, "dhcpv6-client"}, {547, kUdp, "dhcpv6-server"}, {548, kTcp, "afpovertcp"},    {554, kBoth, "rtsp"},
    {587, kTcp, "submission"},    {623, kUdp, "asf-rmcp"},      {631, kBoth, "ipp"},          {636, kTcp, "ldaps"},
    {646, kBoth, "ldp"},          {853, kBoth, "domain-s"},     {873, kTcp, "rsync"},         {989, kTcp, "ftps-data"},
    {990, kTcp, "ftps"},          {993, kTcp, "imaps"},         {995, kTcp, "pop3s"},         {1080, kTcp, "socks"},
    {1194, kBoth, "openvpn"},     {1433, kTcp, "ms-sql-s"},     {1434, kUdp, "ms-sql-m"},     
    {1701, kUdp, "l2f"},          {1812, kUdp, "radius"},       {1813, kUdp, "radius-acct"},  {1883, kTcp, "mqtt"},
    {2049, kBoth, "nfs"},         {2379, kTcp, "etcd-client"},  {2380, kTcp, "etcd-server"},
    {3128, kTcp, "squid"},        {3260, kTcp, "iscsi-target"}, {3268, kTcp, "msft-gc"},      {3306, kTcp, "mysql"},
    {3389, kBoth, "ms-wbt-server"}, {3478, kBoth, "stun"},      {3868, kSctp, "diameter"},    {4500, kUdp, "ipsec-nat-t"},
    {4789, kUdp, "vxlan"},        {5060, kBoth | kSctp, "sip"}, {5061, kBoth, "sips"},        
    {5353, kUdp, "mdns"},         {5355, kUdp, "llmnr"},        {5432, kTcp, "postgresql"},   {5671, kTcp, "amqps"},
    {5672, kTcp, "amqp"},         {5900, kTcp, "rfb"},          {5985, kTcp, "wsman"},        {5986, kTcp, "wsmans"},
    {6081, kUdp, "geneve"},       {6379, kTcp, "redis"},        {6640, kTcp, "ovsdb"},
    {6653, kTcp, "openflow"},     {8080, kTcp, "http-alt"},     {8883, kTcp, "secure-mqtt"},
    {9418, kTcp, "git"},
    {10250, kTcp, "kubelet"},     {11211, kBoth, "memcache"},   {27017, kTcp, "mongodb"},     {36412, kSctp, "s1-control"},
};

constexpr std::string_view kTcpStates[] = {"-",          "SYN_SENT", "SYN_RECV",  "EST",   "FIN_WAIT",
                                           "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"};
static_assert(TCP_CONNTRACK_ESTABLISHED == 3 && TCP_CONNTRACK_SYN_SENT2 == 9, "order of the kernel's enum");

}  // namespace

std::string_view serviceName(uint8_t protocol, uint16_t port) {
  const uint8_t bit = protocol == IPPROTO_TCP ? kTcp : protocol == IPPROTO_UDP ? kUdp : protocol == IPPROTO_SCTP ? kSctp : 0;
  const Service* at = std::lower_bound(std::begin(kServices), std::end(kServices), port, [](const Service& s, uint16_t wanted) { return s.port < wanted; });
  for (; at != std::end(kServices) && at->port == port; ++at) {
    if ((at->protocols & bit) != 0) return at->name;
  }
  return "Unknown";
}

std::string_view protocolName(uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP: return "tcp";
    case IPPROTO_UDP: return "udp";
    case IPPROTO_ICMP: return "icmp";
    case IPPROTO_ICMPV6: return "ipv6-icmp";
    case IPPROTO_SCTP: return "sctp";
    case IPPROTO_GRE: return "gre";
    case IPPROTO_IGMP: return "igmp";
    case IPPROTO_ESP: return "esp";
    case IPPROTO_AH: return "ah";
    case IPPROTO_UDPLITE: return "udplite";
    case IPPROTO_DCCP: return "dccp";
    case 89: return "ospf";
    case 112: return "vrrp";
    default: return {};
  }
}

std::string_view tcpStateName(uint8_t state) { return state < std::size(kTcpStates) ? kTcpStates[state] : std::string_view("-"); }

}  // namespace dfw
