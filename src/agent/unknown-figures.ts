import type {
  CpuFigures,
  DiskFigures,
  FileDescriptorFigures,
  MemoryFigures,
  NetworkFigures,
} from '../api/agent-report.ts';

/* Groups of figures of which nothing is known, which is where every sample begins. */

export const unknownCpu: CpuFigures = {
  source: null,
  usageSeconds: null,
  cores: null,
  averageCores: null,
  limitCores: null,
  throttledShare: null,
  throttledSeconds: null,
  pressure: null,
};

export const unknownMemory: MemoryFigures = {
  source: null,
  workingSetBytes: null,
  averageWorkingSetBytes: null,
  usageBytes: null,
  limitBytes: null,
  oomKills: null,
  pressure: null,
};

export const unknownDisk: DiskFigures = {
  source: null,
  readBytesPerSecond: null,
  writeBytesPerSecond: null,
  readsPerSecond: null,
  writesPerSecond: null,
  pressure: null,
};

export const unknownNetwork: NetworkFigures = {
  source: null,
  receivedBytesPerSecond: null,
  sentBytesPerSecond: null,
  errorsPerSecond: null,
};

export const unknownFileDescriptors: FileDescriptorFigures = { source: null, open: null, limit: null };
