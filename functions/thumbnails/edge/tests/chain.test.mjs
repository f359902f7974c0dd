// What a phone gets: viewer.js in front of the cache, the handler behind it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import vm from 'node:vm';

import { bucket, event, load, png } from './bucket.mjs';

Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' });
console.error = () => {};

const noise = { value: 12345 };
const next = () => (noise.value = (noise.value * 1103515245 + 12345) & 0x7fffffff) >> 16;
const photo = png(2048, 2048, (x, y) => (x * 3 + y * y) & 255);
const trickle = (response) => {
    response.writeHead(200);
    let at = 0;
    const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write(photo.subarray(at, (at += 1)))), 50);
};
const { server, endpoint } = await bucket({ 'a.png': photo, 'noise.png': png(2048, 2048, next), 'trickle.png': trickle });
after(() => server.closeAllConnections() ?? server.close());
const handler = await load({ endpoint });
const viewer = vm.runInNewContext(`${fs.readFileSync(new URL('../viewer.js', import.meta.url), 'utf8')}; handler`);

// CloudFront keeps answers by the address that viewer.js makes, and sends no header of the phone on.
function ask(key, query, accept) {
    const querystring = Object.fromEntries(query.split('&').map((pair) => pair.split('=')).map(([name, value]) => [name, { value }]));
    const request = viewer({ request: { uri: `/images/${key}`, querystring, headers: { accept: { value: accept } } } });
    const canonical = Object.entries(request.querystring).map(([name, { value }]) => `${name}=${value}`).join('&');
    return handler(event({ uri: request.uri, querystring: canonical, headers: {} }));
}

const header = (answer, name) => answer.headers[name]?.[0].value;

test('an answer whose format was negotiated in front of the cache says so', async () => {
    const rows = [
        ['w=64', 'image/webp,*/*', 'image/webp'],
        ['w=64', 'image/*', 'image/jpeg'],
        // The same address, and so the same cached answer, as the first one.
        ['w=64&format=webp', 'image/*', 'image/webp'],
    ];
    for (const [query, accept, type] of rows) {
        const answer = await ask('a.png', query, accept);
        assert.deepEqual([answer.status, header(answer, 'content-type'), header(answer, 'vary')], ['200', type, 'Accept'], query);
    }
});

test('the origin of what is too large comes to the same format, and says that it was negotiated', async () => {
    for (const accept of ['image/webp', 'image/jpeg']) {
        const request = await ask('noise.png', 'w=2048&q=90', accept);
        assert.deepEqual([request.status, request.querystring, header(request, 'accept')], [undefined, 'w=2048&q=90', accept]);
    }
});

test('a bucket that sends a byte now and then is given up in time', async () => {
    const start = Date.now();
    const answer = await ask('trickle.png', 'w=64', 'image/webp');
    assert.equal(answer.status, '504');
    assert.ok(Date.now() - start < 7000);
});
