import type { MemoryFigures } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import type { BrokerCgroups } from './broker-cgroup.ts';
import { lowestLimit, parseFlatKeyed, parseHierarchicalMemoryLimit, parseMemoryLimit } from './cgroup-files.ts';
import { parseCount } from './count.ts';
import { readParsed, readText } from './files.ts';
import { readPressure } from './pressure.ts';
import type { Rates } from './rates.ts';

/**
 * The memory figures of the broker's cgroup.
 *
 * @param run names the broker's run, as for readCpuFigures.
 */
export function readMemoryFigures(
  { memory, pressure }: BrokerCgroups,
  run: string,
  rates: Rates,
): MemoryFigures | Problem {
  const { version, path, above } = memory;
  const [usageFile, limitFile, eventsFile, inactiveKey] =
    version === 2
      ? ['memory.current', 'memory.max', 'memory.events', 'inactive_file']
      : ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'memory.oom_control', 'total_inactive_file'];
  const usageBytes = readParsed(`${path}/${usageFile}`, parseCount);
  if (isProblem(usageBytes)) return usageBytes;
  const stat = readText(`${path}/memory.stat`);
  if (isProblem(stat)) return stat;
  const inactiveBytes = parseFlatKeyed(stat, inactiveKey);
  if (inactiveBytes === null) return { problem: `${path}/memory.stat: has no ${inactiveKey}` };
  // As the kubelet counts it: the two files are read one after the other, so the difference may be below 0.
  const workingSetBytes = Math.max(0, usageBytes - inactiveBytes);
  const oomKills = readParsed(`${path}/${eventsFile}`, (text) => parseFlatKeyed(text, 'oom_kill'));
  return {
    source: version === 2 ? 'cgroup-v2' : 'cgroup-v1',
    workingSetBytes,
    averageWorkingSetBytes: rates.average('memory', `${run} ${path}`, workingSetBytes),
    usageBytes,
    limitBytes: lowestLimit([
      ...[path, ...above].map((it) => readParsed(`${it}/${limitFile}`, parseMemoryLimit)),
      version === 1 ? parseHierarchicalMemoryLimit(stat) : null,
    ]),
    oomKills: isProblem(oomKills) ? null : oomKills,
    pressure: readPressure({ directory: pressure, resource: 'memory', run, rates }),
  };
}
