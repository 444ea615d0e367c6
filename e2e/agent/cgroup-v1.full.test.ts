/** As cgroup-v1.test.ts, for long enough to see a drift. */
import { expect, it } from 'vitest';
import { createBurnerSampler, pod, requireCgroupsV1, startBurner } from './burner.ts';

// On a busy machine, 30 s of CPU take minutes.
it('over 30 s, the CPU time of a broker is within 1 % of what the process says of itself', {
  timeout: 600_000,
}, async () => {
  const cgroups = await requireCgroupsV1();
  const burner = await startBurner({ cgroups, path: `pod${pod.uid}/${'1'.repeat(64)}`, limits: { cpuCores: 1.5 } });
  try {
    const sample = createBurnerSampler(burner.port);
    const idle = await burner.burn(0);
    const first = sample();
    const busy = await burner.burn(30);
    const second = sample();

    const usedSeconds = Number(second.cpu.usageSeconds) - Number(first.cpu.usageSeconds);
    expect(second.identity.state).toBe('proven');
    expect(Math.abs(usedSeconds / (busy - idle) - 1)).toBeLessThan(0.01);
  } finally {
    await burner.end();
    await cgroups.removeAll();
  }
});
