import { describe, expect, it } from 'vitest';
import { exampleReport, exampleReportWithoutBroker } from '../api/example-report.ts';
import { formatExposition } from './exposition.ts';

describe('the metrics of the agent', () => {
  it('are those of the report, each family with its help and type once', () => {
    const text = formatExposition({ report: exampleReport, skippedLines: 2 });

    expect(text).toContain(`# HELP danube_load_manager_agent_cpu_seconds_total CPU time used.
# TYPE danube_load_manager_agent_cpu_seconds_total counter
danube_load_manager_agent_cpu_seconds_total{source="cgroup-v2"} 12.5
`);
    expect(text).toContain(`# TYPE danube_load_manager_agent_disk_bytes_per_second gauge
danube_load_manager_agent_disk_bytes_per_second{direction="read",source="cgroup-v2"} 0
danube_load_manager_agent_disk_bytes_per_second{direction="write",source="cgroup-v2"} 4096
`);
    expect(text).toContain('danube_load_manager_agent_pressure_ratio{resource="cpu",tasks="some"} 0.02\n');
    expect(text).toContain('danube_load_manager_agent_broker_found{mode="shared-pid"} 1\n');
    expect(text).toContain('danube_load_manager_agent_broker_start_time_seconds 1699999000\n');
    expect(text).toContain('danube_load_manager_agent_skipped_lines 2\n');
  });

  it('are well-formed, whatever is known', () => {
    for (const report of [exampleReport, exampleReportWithoutBroker]) {
      const lines = formatExposition({ report, skippedLines: 0 }).split('\n');
      const types = lines.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]);

      expect(lines.pop()).toBe('');
      expect(new Set(types).size).toBe(types.length);
      for (const line of lines) {
        expect(line).toMatch(
          /^(# (HELP|TYPE) danube_load_manager_agent_[a-z_]+ .+|danube_load_manager_agent_[a-z_]+(\{[a-z]+="[a-z0-9-]+"(,[a-z]+="[a-z0-9-]+")*\})? [0-9.e+-]+)$/,
        );
      }
    }
  });

  it('have no series for what is unknown, and say that nothing was found', () => {
    const text = formatExposition({ report: exampleReportWithoutBroker, skippedLines: 0 });

    expect(text).not.toMatch(/cpu|memory_working|pressure|topics|null|NaN/);
    expect(text).toContain('danube_load_manager_agent_broker_found 0\n');
    expect(text).toContain('danube_load_manager_agent_identity_proven 0\n');
  });

  it('have no series for a limit that does not exist', () => {
    expect(formatExposition({ report: exampleReport, skippedLines: 0 })).not.toContain('memory_limit_bytes');
  });
});
