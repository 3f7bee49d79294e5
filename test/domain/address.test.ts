import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AddressPolicy, checkAddress } from "../../src/domain/address.ts";

const production: AddressPolicy = { allowLoopback: false, allowHttp: false, ports: [443, 8443] };
const withHttp: AddressPolicy = { allowLoopback: false, allowHttp: true, ports: [80, 443, 8080, 8443] };
const development: AddressPolicy = { ...withHttp, allowLoopback: true };

const ALLOWED = [
  "https://api.example.com",
  "https://api.example.com/hook?x=1#y",
  "https://API.Example.com.:8443/hook",
  "https://sub_domain.example.co.uk/{{env.NAME}}",
  "https://münchen.example/",
  "https://8.8.8.8/",
  "https://[2606:4700:4700::1111]/",
  "https://example.com:443/",
  "https://a.b/@user",
  "https://notlocalhost.com/",
  "https://internal.example.com/",
  "https://127.0.0.1.example.com/",
];

const NON_PUBLIC = [
  // Loopback in every spelling.
  ...[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.255.255.254",
  ],
  ...["0x7F.0x0.0x0.0x1", "127.0.0.1.", "１２７.０.０.１", "127。0。0。1", "%31%32%37.0.0.1", "0", "0.0.0.0", "0x0"],
  ...["localhost", "LOCALHOST", "localhost.", "foo.localhost", "localhost.localdomain", "ⓛocalhost"],
  ...["[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"],
  // Private, shared, link-local, reserved, multicast, documentation, benchmarks.
  ...["10.0.0.1", "10.255.255.255", "167772161", "0xa.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.257"],
  ...["100.64.0.1", "100.127.255.255", "100.100.100.200", "169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.1"],
  ...["192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1"],
  ...["239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1"],
  ...["[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[fec0::1]"],
  ...["[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]"],
  ...["[2001:0:7f00:1::]", "[::ffff:8.8.8.8]", "[::ffff:a00:1]", "[100::1]", "[5f00::1]", "[4000::1]"],
  // Names of the inside.
  ...[
    "printer",
    "metadata",
    "instance-data",
    "printer.local",
    "db.internal",
    "metadata.google.internal",
    "router.home.arpa",
  ],
  ...[
    "metadata.goog",
    "host.docker.internal",
    "kubernetes.default.svc",
    "x.svc.cluster.local",
    "nas.lan",
    "127.0.0.1.nip.io",
  ],
  ...["10-0-0-1.sslip.io", "localtest.me", "a.lvh.me", "wiki.corp", "x.intranet", "home.arpa"],
];

const MALFORMED = [
  "",
  "https://",
  "https:///path",
  "https:example.com",
  "https:/example.com",
  "//example.com/",
  "example.com",
  "/path",
  "http://example.com/", // http is not allowed here
  "ftp://example.com/",
  "file:///etc/passwd",
  "gopher://example.com/",
  "javascript:alert(1)",
  "data:text/plain,x",
  "ws://example.com/",
  "service://MAILER/send",
  "https://user@example.com/",
  "https://user:secret@example.com/",
  "https://@example.com/",
  "https://example.com@127.0.0.1/",
  "https://example.com:22/",
  "https://example.com:0/",
  "https://example.com:65536/",
  "https://example.com:80/",
  "https://exa mple.com/",
  " https://example.com/",
  "https://example.com/a b",
  "https://example.com/\t",
  "https://example.com\n.evil.com/",
  "https://example.com\\@127.0.0.1/",
  "https://example..com/",
  "https://.example.com/",
  "https://example.com../",
  "https://1.2.3.4.5/",
  "https://256.256.256.256/",
  "https://[::1/",
  "https://[fe80::1%25eth0]/",
  `https://${"a".repeat(64)}.example.com/`,
  `https://example.com/${"a".repeat(2048)}`,
];

describe("an address that may be called", () => {
  test.each(ALLOWED)("%s", (url) => expect(checkAddress(url, production)).toBeNull());

  test("has at most 2048 characters", () => {
    const url = (length: number) => "https://example.com/".padEnd(length, "a");
    expect(checkAddress(url(2048), production)).toBeNull();
    expect(checkAddress(url(2049), production)).toMatch(/2048/);
  });

  test("may use http and its ports where the deployment allows it", () => {
    expect(checkAddress("http://example.com/", withHttp)).toBeNull();
    expect(checkAddress("http://example.com:8080/", withHttp)).toBeNull();
    expect(checkAddress("http://example.com:8081/", withHttp)).toMatch(/port 8081/);
  });
});

describe("an address that may not be called", () => {
  test.each(NON_PUBLIC)("not public: %s", (host) => {
    for (const policy of [production, withHttp]) {
      expect(checkAddress(`https://${host}/`, policy)).not.toBeNull();
      expect(checkAddress(`https://${host}:8443/x`, policy)).not.toBeNull();
      expect(checkAddress(`http://${host}/`, policy)).not.toBeNull();
    }
  });

  test.each(MALFORMED)("malformed: %j", (url) => expect(checkAddress(url, production)).not.toBeNull());
});

describe("in development", () => {
  test.each([
    "http://localhost:8080/",
    "http://127.0.0.1:1024/x",
    "https://127.9.9.9:9000",
    "http://[::1]:65535/",
    "http://a.localhost:3000/",
  ])("loopback is allowed: %s", (url) => expect(checkAddress(url, development)).toBeNull());

  test.each(["http://localhost/", "http://127.0.0.1:1023/", "https://localhost/", "http://[::1]/"])(
    "but not below port 1024: %s",
    (url) => expect(checkAddress(url, development)).not.toBeNull(),
  );

  test.each(
    NON_PUBLIC.filter((host) => !/local(host|test)|^127|^%31|^１|^0177|^0x7|^213|^0177|\[::1\]|:0:1\]|^ⓛ/i.test(host)),
  )("nothing else of the inside is: %s", (host) =>
    expect(checkAddress(`http://${host}:8080/`, development)).not.toBeNull(),
  );
});

describe("properties", () => {
  const octet = fc.integer({ min: 0, max: 255 });
  const address = fc.tuple(octet, octet, octet, octet);
  const number = ([a, b, c, d]: number[]) => (((a ?? 0) * 256 + (b ?? 0)) * 256 + (c ?? 0)) * 256 + (d ?? 0);

  test("every spelling of an IPv4 address is judged alike", () => {
    fc.assert(
      fc.property(address, (bytes) => {
        const dotted = bytes.join(".");
        const [a = 0, b = 0, c = 0, d = 0] = bytes;
        const spellings = [
          dotted,
          `${dotted}.`,
          String(number(bytes)),
          `0x${number(bytes).toString(16)}`,
          bytes.map((x) => `0x${x.toString(16)}`).join("."),
          bytes.map((x) => `0${x.toString(8)}`).join("."),
          `${a}.${b}.${c * 256 + d}`,
          `${a}.${(b * 256 + c) * 256 + d}`,
        ];
        const verdicts = new Set(spellings.map((host) => checkAddress(`https://${host}/`, production) === null));
        expect(verdicts.size).toBe(1);
      }),
    );
  });

  test("an IPv6 address that embeds an IPv4 address is never public", () => {
    const embeddings = [
      (v4: string) => `[::ffff:${v4}]`,
      (v4: string) => `[::${v4}]`,
      (v4: string) => `[64:ff9b::${v4}]`,
      (_: string, hex: string) => `[2002:${hex}::1]`,
      (_: string, hex: string) => `[2001:0:${hex}::1]`,
    ];
    fc.assert(
      fc.property(address, fc.constantFrom(...embeddings), (bytes, embed) => {
        const hex = number(bytes).toString(16).padStart(8, "0");
        const host = embed(bytes.join("."), `${hex.slice(0, 4)}:${hex.slice(4)}`);
        expect(checkAddress(`https://${host}/`, production)).not.toBeNull();
      }),
    );
  });

  test("no text at all makes it throw", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.string().map((s) => `https://${s}`),
        ),
        (text) => {
          expect([null, "string"]).toContain(checkAddress(text, production) === null ? null : "string");
        },
      ),
    );
  });
});
