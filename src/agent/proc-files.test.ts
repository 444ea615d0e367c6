import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseCgroupMemberships,
  parseCgroupMounts,
  parseListeners,
  parseNetworkDevices,
  parseNodeCores,
  parseNodeMemoryBytes,
  parseOpenFilesLimit,
  parseProcessIo,
  parseProcessStat,
  parseProgramName,
  parseResidentBytes,
  parseSocketLink,
  parseStatesDescriptors,
  parseUptimeSeconds,
} from './proc-files.ts';

const stat =
  '4242 (broker) S 1 4242 4242 0 -1 4194560 9000 0 12 0 1234 56 7 8 20 0 11 0 987654 1234567168 15000 18446744073709551615 1 1 0';

describe('/proc/<pid>/stat', () => {
  it('gives state, own CPU ticks without those of children, and the start', () => {
    expect(parseProcessStat(stat)).toEqual({ state: 'S', command: 'broker', cpuTicks: 1290, startTicks: 987_654 });
  });

  it.each(['a b', ') R 1 1 (', 'Z) Z 0 0'])('is not misled by a command named %j', (command) => {
    expect(parseProcessStat(stat.replace('broker', command))?.startTicks).toBe(987_654);
  });

  it('is unknown when cut short', () => {
    expect(parseProcessStat(stat.slice(0, 60))).toBeNull();
  });
});

describe('what a process does', () => {
  it('to disks is in io', () => {
    const io =
      'rchar: 9\nwchar: 9\nsyscr: 9\nsyscw: 9\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n';

    expect(parseProcessIo(io)).toEqual({ readBytes: 4096, writtenBytes: 8192 });
    expect(parseProcessIo('read_bytes: 4096\n')).toBeNull();
  });

  it.each([
    ['1024                 1048576', 1024],
    ['unlimited            unlimited', 'none'],
    ['few                  many', null],
  ])('may open files up to the soft limit: %s', (limits, limit) => {
    const text = `Limit                     Soft Limit           Hard Limit           Units
Max processes             96345                96345                processes
Max open files            ${limits}              files
`;

    expect(parseOpenFilesLimit(text)).toBe(limit);
  });

  it('runs the program that its arguments begin with', () => {
    expect(parseProgramName('/usr/local/bin/danube-broker\0--config\0/etc/x\0')).toBe('danube-broker');
    expect(parseProgramName('danube-broker')).toBe('danube-broker');
    expect(parseProgramName('')).toBe('');
  });

  it.each([
    ['6.2.0-39-generic\n', true],
    ['7.0.1', true],
    ['6.1.0-18-cloud-amd64\n', false],
    ['5.15.0\n', false],
    ['4.4.0', false],
    ['unknown', null],
  ])('has a stated number of descriptors on Linux %j: %j', (osrelease, stated) => {
    expect(parseStatesDescriptors(osrelease)).toBe(stated);
  });
});

describe('/proc/<pid>/net/dev', () => {
  const headings = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;
  const lo = '    lo: 99999 9 9 0 0 0 0 0 99999 9 9 0 0 0 0 0\n';
  const eth0 = '  eth0: 1000 10 1 7 0 0 0 0 2000 20 2 8 0 0 0 0\n';

  it('is summed over devices, without loopback', () => {
    expect(parseNetworkDevices(`${headings}${lo}${eth0} net1:30 1 0 0 0 0 0 0 40 1 0 0 0 0 0 0\n`)).toEqual({
      devices: 'eth0 net1',
      receivedBytes: 1030,
      sentBytes: 2040,
      errors: 3,
    });
  });

  it('is 0 in a namespace without network', () => {
    expect(parseNetworkDevices(headings + lo)).toEqual({ devices: '', receivedBytes: 0, sentBytes: 0, errors: 0 });
  });

  it.each(['  eth0: 1000 10\n', '  eth0 1000 10 1 7 0 0 0 0 2000 20 2 8 0 0 0 0\n', '  eth0: a b c d\n'])(
    'is unknown with a line %j',
    (line) => {
      expect(parseNetworkDevices(headings + line)).toBeNull();
    },
  );
});

describe('memory, cores and uptime', () => {
  it('reads VmRSS in bytes', () => {
    expect(parseResidentBytes('VmHWM:\t  9 kB\nVmRSS:\t    1672 kB\nRssAnon:\t 5 kB\n')).toBe(1_712_128);
  });

  it('does not know the memory of a kernel thread, which has no VmRSS', () => {
    expect(parseResidentBytes('Name:\tkthreadd\nState:\tS (sleeping)\n')).toBeNull();
  });

  it('reads the machine: memory, online cores, uptime', () => {
    expect(parseNodeMemoryBytes('MemTotal:       24684100 kB\nMemFree: 1 kB\n')).toBe(25_276_518_400);
    expect(parseNodeCores('cpu  4 0 1\ncpu0 1 0 1\ncpu3 1 0 1\nintr 1\n')).toBe(2);
    expect(parseNodeCores('intr 1\n')).toBeNull();
    expect(parseUptimeSeconds('1207.41 2400.01\n')).toBe(1207.41);
  });
});

describe('/proc/net/tcp', () => {
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0701000A:19FA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1120 1 00000000e419140c 100 0 0 10 0
   1: 00000000:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1121 1 00000000e419140c 100 0 0 10 0
   2: 0701000A:19FA 0801000A:D431 01 00000000:00000000 00:00000000 00000000  1000        0 1122 1 00000000e419140c 20 4 30 10 -1
`;
  const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 000000FD000000000000000007000000:19FA 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1130 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:19FB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1131 1 0 100 0 0 10 0
`;

  it('gives the listening sockets, not the connections', () => {
    expect(parseListeners(tcp, 'LE')).toEqual([
      { ip: '::ffff:a00:107', port: 6650, inode: '1120' },
      { ip: '::ffff:0:0', port: 9000, inode: '1121' },
    ]);
  });

  it('reads IPv6, and IPv4 in its clothes, word by word', () => {
    expect(parseListeners(tcp6, 'LE').map((it) => it.ip)).toEqual(['fd00::7', '::ffff:7f00:1']);
  });

  it('reads the words of a big-endian machine as they stand', () => {
    expect(parseListeners(tcp.replaceAll('0701000A', '0A000107'), 'BE')[0]?.ip).toBe('::ffff:a00:107');
  });
});

describe('a link of /proc/<pid>/fd', () => {
  it.each([
    ['socket:[1120]', '1120'],
    ['/run/socket:[1120]', null],
    ['pipe:[1120]', null],
  ])('%s leads to socket %j', (link, inode) => {
    expect(parseSocketLink(link)).toBe(inode);
  });
});

describe('/proc/<pid>/cgroup', () => {
  it('of a v1 machine names each hierarchy by its controllers', () => {
    expect(
      parseCgroupMemberships('5:cpu,cpuacct:/kubepods/pod1/abc\n4:memory:/kubepods/pod1/abc\n1:name=systemd:/x:y\n'),
    ).toEqual([
      { version: 1, controllers: ['cpu', 'cpuacct'], path: '/kubepods/pod1/abc' },
      { version: 1, controllers: ['memory'], path: '/kubepods/pod1/abc' },
      { version: 1, controllers: ['name=systemd'], path: '/x:y' },
    ]);
  });

  it('of a v2 machine is one line, with /.. for what is outside of the cgroup namespace', () => {
    expect(parseCgroupMemberships('0::/../abc\n')).toEqual([{ version: 2, controllers: [], path: '/../abc' }]);
  });

  it('of a hybrid machine has both', () => {
    expect(parseCgroupMemberships('4:memory:/a\n0::/b\n').map((it) => it.version)).toEqual([1, 2]);
  });
});

describe('/proc/<pid>/mountinfo', () => {
  it('gives cgroup mounts with root, mount point and v1 controllers', () => {
    const text = `22 27 0:21 / /proc rw,relatime - proc proc rw
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory
41 31 0:38 /../abc /sys/fs/cgroup/with\\040blank rw,relatime - cgroup2 cgroup2 rw,nsdelegate
`;

    expect(parseCgroupMounts(text)).toEqual([
      { version: 1, controllers: ['rw', 'memory'], root: '/', mountPoint: '/sys/fs/cgroup/memory' },
      { version: 2, controllers: [], root: '/../abc', mountPoint: '/sys/fs/cgroup/with blank' },
    ]);
  });
});

describe('whatever a file holds', () => {
  const fragment = fc.constantFrom(
    ...[
      ' ',
      '\n',
      ':',
      '/',
      ' - ',
      'cgroup',
      'cgroup2 ',
      '0',
      '1',
      'cpu0 ',
      'VmRSS:\t',
      ' kB',
      ')',
      '(',
      'S',
      '0A ',
      '0100007F',
      '\\040',
      ',',
    ],
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fragment, { maxLength: 60 }).map((it) => it.join('')),
    fc
      .tuple(fc.nat({ max: stat.length }), fc.string({ maxLength: 3 }))
      .map(([at, noise]) => stat.slice(0, at) + noise + stat.slice(at)),
  );

  it('is facts or unknown, never an exception, NaN or a negative number', () => {
    fc.assert(
      fc.property(text, (it) => {
        const process = parseProcessStat(it);
        const figures = [
          parseResidentBytes(it),
          parseNodeMemoryBytes(it),
          parseNodeCores(it),
          parseUptimeSeconds(it),
          ...Object.values(parseProcessIo(it) ?? {}),
          ...Object.values({ ...parseNetworkDevices(it), devices: null }),
          ...(process ? [process.cpuTicks, process.startTicks] : []),
          ...parseListeners(it, 'LE').map((listener) => listener.port),
        ];
        const paths = [
          ...parseCgroupMemberships(it).map(({ path }) => path),
          ...parseCgroupMounts(it).map(({ root }) => root),
        ];

        for (const figure of figures) expect(figure === null || (Number.isFinite(figure) && figure >= 0)).toBe(true);
        for (const path of paths) expect(path).toBeTypeOf('string');
      }),
    );
  });
});
