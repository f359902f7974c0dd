// The time limit of the add-on itself.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';

import { BUILT, png } from './bucket.mjs';

const addon = createRequire(import.meta.url)(path.join(BUILT, 'edge/thumbnails.node'));

test('a picture that takes longer than there is time ends with a code of its own', () => {
    const photo = png(6000, 6000, (x, y) => (x * 3 + y * y) & 255);
    const start = process.cpuUsage();
    const made = addon.render(photo, 'w=2048&format=webp', 1);
    const { user, system } = process.cpuUsage(start);
    assert.deepEqual([made.code, made.bytes], ['TIMEOUT', undefined]);
    assert.ok((user + system) / 1000 < 50, `${(user + system) / 1000} ms`);
});
