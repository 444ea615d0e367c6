import { describe, expect, it } from 'vitest';
import { isContainer, podLevels, podUidOf } from './cgroup-names.ts';

const uid = '5b1f3c1e-0000-4000-8000-0123456789ab';
const escaped = uid.replaceAll('-', '_');
const id = 'c0ffee42'.repeat(8);

const paths: readonly [string, string][] = [
  ['the cgroupfs driver', `/kubepods/burstable/pod${uid}/${id}`],
  ['the cgroupfs driver, guaranteed', `/kubepods/pod${uid}/${id}`],
  [
    'the systemd driver with containerd',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${escaped}.slice/cri-containerd-${id}.scope`,
  ],
  ['the systemd driver with CRI-O', `/kubepods.slice/kubepods-pod${escaped}.slice/crio-${id}.scope`],
  ['the systemd driver with Docker', `/kubepods.slice/kubepods-pod${escaped}.slice/docker-${id}.scope`],
  [
    'a node that is a container itself',
    `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${escaped}.slice/cri-containerd-${id}.scope`,
  ],
  [
    'containerd below systemd with the cgroupfs driver',
    `/system.slice/containerd.service/kubepods-pod${escaped}.slice:cri-containerd:${id}`,
  ],
];

describe('the path of a container', () => {
  it.each(paths.slice(0, -1))('of %s names its Pod, and is known to be a container', (_, path) => {
    expect(podUidOf(path)).toBe(uid);
    expect(isContainer(path)).toBe(true);
  });

  it.each(paths)('of %s ends in a container', (_, path) => {
    expect(isContainer(path)).toBe(true);
  });

  it('of a Pod made from a file of the node names the hash of its manifest', () => {
    expect(podUidOf(`/kubepods/pod${'0123456789abcdef'.repeat(2)}/${id}`)).toBe('0123456789abcdef'.repeat(2));
  });

  it('as a neighbour in a cgroup namespace sees it names no Pod', () => {
    expect(podUidOf(`/../${id}`)).toBeNull();
    expect(isContainer(`/../${id}`)).toBe(true);
  });
});

describe('other cgroups', () => {
  it.each([
    '/',
    '/user.slice/user-1000.slice/session-4.scope',
    '/system.slice/podman.service',
    `/kubepods/burstable/pod${uid}`,
    `/kubepods/podium-${uid}`,
    `/x/${id}0`,
    `/x/${id.slice(1)}`,
  ])('%s is no container', (path) => {
    expect(isContainer(path)).toBe(false);
  });

  it.each(['/', '/system.slice/podman.service', `/kubepods/podium${uid}/x`])('%s is of no Pod', (path) => {
    expect(podUidOf(path)).toBeNull();
  });
});

describe('the levels above a cgroup', () => {
  it('end with its Pod', () => {
    const pod = `/kubepods/pod${uid}`;

    expect(podLevels(`${pod}/${id}/inner`)).toEqual([`${pod}/${id}`, pod]);
    expect(podLevels(pod)).toEqual([]);
  });

  it('are none that can be judged when no Pod is above it', () => {
    expect(podLevels('/a/b/c')).toEqual([]);
    expect(podLevels('')).toEqual([]);
  });
});
