/** The auditor on a real etcd: it sees what is written after it was attached, and says when it could not see all. */
import { expect, it } from 'vitest';
import { assignmentKey, deliveryKey, registrationKey, topicKey } from '../src/danube/keys.ts';
import { encodeDelivery, NULL_VALUE } from '../src/danube/values.ts';
import type { EtcdPort, Operation, WatchMessage } from '../src/etcd/port.ts';
import { attachAuditor, violations } from './audit.ts';
import { useEtcd } from './etcd/suite.ts';

const suite = useEtcd();

const REGISTRATION =
  '{"admin_addr":"http://10.0.0.1:50051","broker_url":"http://10.0.0.1:6650","connect_url":"http://10.0.0.1:6650"}';

async function write(etcd: EtcdPort, ...operations: readonly Operation[]): Promise<void> {
  expect(await etcd.commit([], operations)).toMatchObject({ outcome: 'applied' });
}

it('audits what is written from now on, and knows what stood', async () => {
  const etcd = suite().connect();
  const topic = '/default/audited';
  await write(etcd, { put: registrationKey('1'), value: REGISTRATION });
  await write(etcd, { put: registrationKey('2'), value: REGISTRATION.replaceAll('10.0.0.1', '10.0.0.2') });
  await write(
    etcd,
    { put: topicKey(topic), value: NULL_VALUE },
    { put: deliveryKey(topic), value: encodeDelivery('NonReliable') },
    { put: assignmentKey('1', topic), value: NULL_VALUE },
  );
  const attached = await attachAuditor(etcd);
  await attached.upToDate();
  expect(violations(attached.auditor)).toEqual([]);

  await write(etcd, { put: assignmentKey('2', topic), value: NULL_VALUE });

  await attached.upToDate();
  await attached.stop();
  expect(violations(attached.auditor)).toEqual([expect.stringMatching(/^DoublyOwned, 1 times, .*1 and 2/)]);
});

it('fails when a part of the history is gone', async () => {
  const etcd = suite().connect();
  async function* compacted(): AsyncGenerator<WatchMessage> {
    yield { kind: 'compacted', compactRevision: 999 };
  }

  const attached = await attachAuditor({ ...etcd, watch: compacted });

  await expect(attached.upToDate()).rejects.toThrow('the history before 999 is gone');
  await expect(attached.stop()).rejects.toThrow('the history before 999 is gone');
});
