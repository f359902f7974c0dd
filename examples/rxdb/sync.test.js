import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { scenarios } from '../testing/scenarios.js';
import { openDevice } from './device.js';

scenarios('rxdb', openDevice);

test('what has been stored is fetched at once, with its version and price', { timeout: 5000 }, async () => {
  const stored = { id: 'o', version: 1, status: 'pending', total: { amount: 5, currency: 'USD' }, items: [] };
  const sent = [];
  const bff = {
    changes: async () => ({ items: sent.length > 0 ? [stored] : [], token: `t${sent.length}`, full: false }),
    push: async (edits) => edits.map((edit) => sent.push(edit) && { id: edit.id, status: 201, item: stored }),
  };
  const device = await openDevice(bff, { name: 'alone', user: 'u' });
  await device.sync();
  await device.create('o', { items: [] });
  while ((await device.get('o')).version === 0) await sleep(5);
  assert.deepEqual((await device.get('o')).total, stored.total);
  assert.equal(sent.length, 1);
  await device.close();
});
