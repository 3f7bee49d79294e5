/**
 * Which URLs may be called (contract 2). Judged at save and again at every call. It judges spelling only: names that resolve
 * to private addresses are the platform's wall, which lets nothing but public addresses through.
 */
export interface AddressPolicy {
  /** Loopback, on any port from 1024, over http or https: for development. */
  allowLoopback: boolean;
  allowHttp: boolean;
  ports: number[];
}

export const MAX_URL = 2048;
const MIN_LOOPBACK_PORT = 1024;

/** Names that mean the inside of some network. */
const INSIDE_NAMES = ["localhost", "metadata.goog", "localtest.me", "lvh.me", "vcap.me", "lacolhost.com"];
const INSIDE_SUFFIXES = [
  ...["localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa"],
  ...["svc", "cluster.local", "metadata.goog"],
  // Public names that spell any address.
  ...["nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me"],
];

/** The reason why a URL may not be called, as the second half of "endpoint_url: …"; null where it may. */
export function checkAddress(text: string, policy: AddressPolicy): string | null {
  if (text.length > MAX_URL) return `is longer than ${MAX_URL} characters`;
  // The parser would quietly drop or turn these, and so read another address than a person does.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x20\x7f\\]/.test(text)) return "must not contain spaces, control characters or backslashes";
  if (/^service:/i.test(text)) return "names a service that this deployment does not map for the project";
  const authority = /^(https?):\/\/([^/?#]+)/i.exec(text)?.[2];
  const url = URL.parse(text);
  if (authority === undefined || !url) return "must be an absolute https URL";
  if (authority.includes("@")) return "must not carry user information";
  const host = url.hostname.toLowerCase().replace(/\.$/, "");
  if (isLoopback(host)) return checkLoopback(url, policy);
  return checkScheme(url, policy) ?? checkPort(url, policy) ?? checkHost(host);
}

function checkScheme(url: URL, policy: AddressPolicy): string | null {
  return url.protocol === "https:" || policy.allowHttp ? null : "must use https";
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

function checkPort(url: URL, policy: AddressPolicy): string | null {
  const port = portOf(url);
  return policy.ports.includes(port) ? null : `uses port ${port}; allowed are ${policy.ports.join(", ")}`;
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host.endsWith(".localhost") || host === "[::1]") return true;
  return v4Bytes(host)?.[0] === 127;
}

function checkLoopback(url: URL, policy: AddressPolicy): string | null {
  if (!policy.allowLoopback) return "must not be a loopback address";
  return portOf(url) >= MIN_LOOPBACK_PORT ? null : `uses a port below ${MIN_LOOPBACK_PORT} of this machine`;
}

const NOT_PUBLIC = "must be a public address";

function checkHost(host: string): string | null {
  if (host.startsWith("[")) return isPublicV6(host.slice(1, -1)) ? null : NOT_PUBLIC;
  const v4 = v4Bytes(host);
  if (v4) return isPublicV4(v4) ? null : NOT_PUBLIC;
  const labels = host.split(".");
  if (host.length > 253 || !labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label))) return "has no valid host name";
  if (labels.length < 2) return "must have a full host name, not a single label";
  const inside =
    INSIDE_NAMES.includes(host) || INSIDE_SUFFIXES.some((suffix) => host.endsWith(`.${suffix}`) || host === suffix);
  return inside ? "must not be a name of an internal network" : null;
}

/** The URL parser has already turned every decimal, hex, octal and short spelling into four numbers. */
function v4Bytes(host: string): number[] | null {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(host) ? host.split(".").map(Number) : null;
}

/** Blocks of IANA's special-purpose registry that are not globally reachable: first address and prefix length. */
const SPECIAL_V4: [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

const v4Number = (bytes: number[]): number => bytes.reduce((sum, byte) => sum * 256 + byte, 0);

function isPublicV4(bytes: number[]): boolean {
  const address = v4Number(bytes);
  return !SPECIAL_V4.some(([first, length]) => {
    const size = 2 ** (32 - length);
    return Math.floor(address / size) === Math.floor(v4Number(first.split(".").map(Number)) / size);
  });
}

/**
 * Only global unicast (2000::/3) outside the blocks that embed or stand for other addresses: that leaves out loopback,
 * mapped and compatible IPv4, NAT64, link-local, unique local and multicast by itself.
 */
function isPublicV6(address: string): boolean {
  const [first = 0, second = 0] = v6Groups(address);
  if (first < 0x2000 || first > 0x3fff) return false;
  if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return false; // IETF protocols, Teredo, documentation
  if (first === 0x2002) return false; // 6to4
  return !(first === 0x3fff && second < 0x1000); // documentation
}

/** The URL parser writes groups in hex, with at most one `::`. */
function v6Groups(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((g) => Number.parseInt(g, 16)));
  if (tail === undefined) return groups(head);
  const [front, back] = [groups(head), groups(tail)];
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}
