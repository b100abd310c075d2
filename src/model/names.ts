/**
 * Names and other short texts that users give. Each check returns the reason for a refusal, ready for a message, or
 * undefined when the text is fine. Reasons show the text quoted, escaped and cut.
 */
import { quote } from './quote.js';
import { LIMITS } from './rule.js';

const DNS_LABEL = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';
const DNS_SUBDOMAIN = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);
const DNS_LABEL_ONLY = new RegExp(`^${DNS_LABEL}$`);
const NSX_NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]*$/;
const LISTED_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/#-]*$/;
const INTERFACE = /^[!-.0-9;-~]+$/;
const TAG = /^[ !#-&(-~]*$/;
const QUALIFIED = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
/** Letters of any script, but nothing that controls a terminal, ends a line or a quotation, or cannot be encoded. */
const SPOKEN = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}"\\]+$/u;
const PORT_NAME = /^(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*$/;
const DOMAIN = /^(?:\*\.)?(?:[a-z0-9](?:[-a-z0-9_]*[a-z0-9])?\.)+[a-z0-9](?:[-a-z0-9_]*[a-z0-9])?$/;
const DOMAIN_PATTERN = /^[-0-9a-z_.*]+$/;

/** Of Attachments and VirtualMachines: how their addresses are learned, whatever ipDiscovery.mode says. */
export const LEARNING_ANNOTATION = 'dfw.dev/ip-discovery';

export const TAG_LENGTH = 64;
/** IFNAMSIZ - 1 (linux/if.h). */
const INTERFACE_LENGTH = 15;
/** The suffix under which the layer 2 rules of a table are listed; a table's own name cannot end in it. */
export const LAYER2_SUFFIX = '_L2';
/** Tables and sets made of policies are named after kind, namespace, name and variant. */
const LISTED_NAME_LENGTH = 512;

function tooLong(what: string, text: string, limit: number): string | undefined {
  return text.length > limit ? `the ${what} ${quote(text, 40)} is longer than ${limit} characters` : undefined;
}

/** RFC 1123 subdomain, at most 253 characters: names of Kubernetes objects. */
export function subdomainProblem(text: string, what = 'name'): string | undefined {
  if (text === '') return `the ${what} is empty`;
  return tooLong(what, text, LIMITS.nameLength) ?? (DNS_SUBDOMAIN.test(text) ? undefined
    : `the ${what} ${quote(text)} is not a DNS name; use lower-case letters, digits, - and ., beginning and ending with a letter or digit`);
}

/** RFC 1123 label, at most 63 characters: namespaces. */
export function labelProblem(text: string, what = 'namespace'): string | undefined {
  if (text === '') return `the ${what} is empty`;
  return tooLong(what, text, 63) ?? (DNS_LABEL_ONLY.test(text) ? undefined
    : `the ${what} ${quote(text)} is not a DNS label; use lower-case letters, digits and -, beginning and ending with a letter or digit`);
}

/** Virtual machines, groups, security policies: letters, digits and . _ - : as NSX uses them. */
export function nsxNameProblem(text: string, what = 'name'): string | undefined {
  if (text === '') return `the ${what} is empty`;
  return tooLong(what, text, LIMITS.nameLength) ?? (NSX_NAME.test(text) ? undefined
    : `the ${what} ${quote(text)} may hold only letters, digits and . _ - : and begins with a letter or digit`);
}

/** Address sets: as nsxNameProblem, and / and # as in the sets of policies, so that listings of those can be read back. */
export function setNameProblem(text: string, what = 'name'): string | undefined {
  if (text === '') return `the ${what} is empty`;
  return tooLong(what, text, LISTED_NAME_LENGTH) ?? (LISTED_NAME.test(text) ? undefined
    : `the ${what} ${quote(text)} may hold only letters, digits and . _ - : / # and begins with a letter or digit`);
}

/** Rule tables: as setNameProblem, without the suffix that marks a table's layer 2 part. */
export function tableNameProblem(text: string): string | undefined {
  return setNameProblem(text) ?? layer2SuffixProblem(text);
}

/** Objects whose rules are listed under their own name. */
export function layer2SuffixProblem(text: string): string | undefined {
  return text.endsWith(LAYER2_SUFFIX) ? `the name ${quote(text)} ends in ${LAYER2_SUFFIX}, which marks the layer 2 rules of a table in listings` : undefined;
}

/** Linux interface names (dev_valid_name): 1..15 printable ASCII characters, no white space, slash or colon. */
export function interfaceProblem(text: string): string | undefined {
  if (text === '') return 'the interface name is empty';
  return tooLong('interface name', text, INTERFACE_LENGTH) ?? (INTERFACE.test(text) && text !== '.' && text !== '..' ? undefined
    : `${quote(text)} is not an interface name; printable ASCII without white space, / and : is`);
}

/** Tags of rules: printable ASCII without quotes, at most 64 characters. */
export function tagProblem(text: string): string | undefined {
  return tooLong('tag', text, TAG_LENGTH) ?? (TAG.test(text) ? undefined
    : `the tag ${quote(text)} may hold only printable ASCII characters and no quotes`);
}

/** Kubernetes label keys: an optional DNS prefix and a name of at most 63 characters. */
export function labelKeyProblem(text: string): string | undefined {
  const slash = text.indexOf('/');
  const name = slash < 0 ? text : text.slice(slash + 1);
  if (name.length <= 63 && QUALIFIED.test(name) && (slash < 0 || (slash <= 253 && DNS_SUBDOMAIN.test(text.slice(0, slash))))) return undefined;
  return `the label key ${quote(text, 40)} is none that Kubernetes knows; use letters, digits and - _ . (at most 63, beginning and ending with a letter or digit), after example.com/ if need be`;
}

/** Kubernetes label values: empty, or at most 63 characters. */
export function labelValueProblem(text: string): string | undefined {
  if (text === '' || (text.length <= 63 && QUALIFIED.test(text))) return undefined;
  return `the label value ${quote(text, 40)} is none that Kubernetes knows; use letters, digits and - _ . (at most 63, beginning and ending with a letter or digit)`;
}

/** IANA service names (RFC 6335 section 5.1), which Kubernetes uses for ports. */
export function portNameProblem(text: string): string | undefined {
  if (text.length <= 15 && PORT_NAME.test(text)) return undefined;
  if (/^[0-9]{1,5}$/.test(text)) return `${quote(text)} is a port name without a letter; write the number without quotes`;
  return `the port name ${quote(text, 40)} is none; use lower-case letters, digits and single -, at most 15 characters, one letter at least`;
}

/** Names of rules in policies: any printable text without double quotes and backslashes. */
export function ruleNameProblem(text: string): string | undefined {
  if (text === '') return 'the rule name is empty';
  return tooLong('rule name', text, LIMITS.nameLength) ?? (SPOKEN.test(text) ? undefined
    : `the rule name ${quote(text, 40)} may hold only printable characters, no double quotes and no backslash`);
}

/** A domain name in lower case without the dot at its end, `*.` in front of it or not (network-policy-api, DomainName). */
export function domainNameProblem(text: string): string | undefined {
  return tooLong('domain name', text, LIMITS.nameLength) ?? (DOMAIN.test(text) ? undefined
    : `${quote(text, 40)} is not a domain name; write kubernetes.io, or *.kubernetes.io for all below it`);
}

/** A domain name in lower case, `*` anywhere in it (Antrea's fqdn). */
export function domainPatternProblem(text: string): string | undefined {
  if (text === '') return 'the domain name is empty';
  return tooLong('domain name', text, LIMITS.nameLength) ?? (DOMAIN_PATTERN.test(text) ? undefined
    : `${quote(text, 40)} is not a domain name; use letters, digits, - . and * for anything`);
}
