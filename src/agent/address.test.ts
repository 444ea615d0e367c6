import { describe, expect, it } from 'vitest';
import { canonicalIp, formatSocketAddress, parseSocketAddress } from './address.ts';

describe('an address on the command line', () => {
  it.each([
    ['10.0.0.7:6650', { ip: '10.0.0.7', port: 6650 }],
    ['[fd00::7]:6650', { ip: 'fd00::7', port: 6650 }],
    ['0.0.0.0:0', { ip: '0.0.0.0', port: 0 }],
  ])('%s is read and written back', (text, address) => {
    expect(parseSocketAddress(text)).toEqual(address);
    expect(formatSocketAddress(address)).toBe(text);
  });

  it.each([
    ['fd00::7:6650', { ip: 'fd00::7', port: 6650 }],
    ['fd00:0:0:0:0:0:0:7:6650', { ip: 'fd00:0:0:0:0:0:0:7', port: 6650 }],
    [':::6650', { ip: '::', port: 6650 }],
  ])('%s, as $(POD_IP):6650 becomes, is read', (text, address) => {
    expect(parseSocketAddress(text)).toEqual(address);
  });

  it.each([
    '',
    'broker:6650',
    '10.0.0.7',
    '10.0.0.7:',
    '10.0.0.7:65536',
    '10.0.0.7:6650x',
    'fd00::7',
    '[fd00::7]',
    'fd00::7:66500',
    '[10.0.0.7:6650',
    '[fe80::1%eth0]:6650',
  ])('%j is refused with an example of what to write', (text) => {
    expect(parseSocketAddress(text)).toEqual({ problem: expect.stringContaining('write 10.0.0.7:6650') });
  });
});

describe('the one spelling of an address', () => {
  it.each([
    ['127.0.0.1', '::ffff:7f00:1'],
    ['::ffff:127.0.0.1', '::ffff:7f00:1'],
    ['0.0.0.0', '::ffff:0:0'],
    ['FD00:0:0:0:0:0:0:7', 'fd00::7'],
    ['::', '::'],
  ])('%s is %s', (ip, canonical) => {
    expect(canonicalIp(ip)).toBe(canonical);
  });

  it('is null for what is no address', () => {
    expect(canonicalIp('localhost')).toBeNull();
  });
});
