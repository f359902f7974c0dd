// The package as Lambda@Edge runs it: real events in, answers out, against a bucket on this machine.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';

import { bucket, event, load, png } from './bucket.mjs';

Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' });
// The handler logs what it refuses.
console.error = () => {};

const waves = png(640, 480, (x, y) => (x * 3 + y * y) & 255);
const state = { value: 12345 };
const noise = png(2048, 2048, () => (state.value = (state.value * 1103515245 + 12345) & 0x7fffffff) >> 16);
const denied = (code) => (response) =>
    response.writeHead(403).end(`<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>No</Message></Error>`);
const used = new WeakSet();
const objects = {
    'a.png': waves,
    'noise.png': noise,
    'page.jpg': Buffer.from('<!doctype html><script>alert(1)</script>'),
    'vector.jpg': Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    'cut.png': waves.subarray(0, 100),
    'bomb.png': png(4, 4, () => 0, 65535),
    'forbidden.png': denied('AccessDenied'),
    'expired.png': denied('ExpiredToken'),
    'nameless.png': (response) => response.writeHead(403).end(),
    // Closes a connection that is used again, as S3 does with one that was kept for too long.
    'kept.png': (response) => {
        if (used.has(response.socket)) {
            response.socket.resetAndDestroy();
        } else {
            used.add(response.socket);
            response.writeHead(200).end(waves);
        }
    },
    'down.png': (response) => response.writeHead(503).end(),
    'elsewhere.png': (response) => response.writeHead(307, { location: 'http://169.254.169.254/' }).end(),
    'boastful.png': (response) => response.writeHead(200, { 'content-length': '99999999999' }).write('x'),
    'endless.png': (response) => {
        response.writeHead(200);
        const chunk = Buffer.alloc(1 << 20, 0xff);
        const more = () => {
            while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', more);
        more();
    },
    'broken.png': (response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('x');
        setTimeout(() => response.destroy(), 20);
    },
    'slow.png': () => {},
};

const { seen, server, endpoint } = await bucket(objects);
after(() => server.closeAllConnections() ?? server.close());
const handler = await load({ endpoint });
const ask = (key, querystring = 'w=300&h=300&format=webp', more = {}) =>
    handler(event({ uri: `/images/${key}`, querystring, ...more }));
const header = (answer, name) => answer.headers[name]?.[0].value;
const problem = (answer) => JSON.parse(Buffer.from(answer.body, 'base64'));

test('a thumbnail', async () => {
    const answer = await ask('a.png');
    assert.equal(answer.status, '200');
    const body = Buffer.from(answer.body, 'base64');
    assert.equal(answer.bodyEncoding, 'base64');
    assert.equal(`${body.subarray(0, 4)}${body.subarray(8, 12)}`, 'RIFFWEBP');
    assert.deepEqual(Object.keys(answer.headers).sort(), [
        'cache-control',
        'content-security-policy',
        'content-type',
        'referrer-policy',
        'strict-transport-security',
        'vary',
        'x-content-type-options',
        'x-request-id',
    ]);
    assert.equal(header(answer, 'content-type'), 'image/webp');
    assert.equal(header(answer, 'cache-control'), 'public, max-age=31536000, immutable');
    assert.equal(header(answer, 'x-content-type-options'), 'nosniff');
    const head = await ask('a.png', undefined, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers, head.body], ['200', answer.headers, undefined]);
});

test('the format is negotiated where the address does not name it', async () => {
    const accept = (value) => ({ headers: { accept: [{ key: 'Accept', value }] } });
    const webp = await ask('a.png', 'w=64', accept('image/avif,image/webp'));
    const jpeg = await ask('a.png', 'w=64', accept('image/*'));
    assert.deepEqual([webp, jpeg].map((answer) => header(answer, 'content-type')), ['image/webp', 'image/jpeg']);
    assert.deepEqual([webp, jpeg].map((answer) => header(answer, 'vary')), ['Accept', 'Accept']);
});

test('every failure is in the error model', async () => {
    const rows = [
        ['nothing.png', 404, 'NOT_FOUND'],
        ['forbidden.png', 404, 'NOT_FOUND'],
        ['expired.png', 502, 'BACKEND_ERROR'],
        ['nameless.png', 502, 'BACKEND_ERROR'],
        ['page.jpg', 415, 'UNSUPPORTED_MEDIA_TYPE'],
        ['vector.jpg', 415, 'UNSUPPORTED_MEDIA_TYPE'],
        ['cut.png', 415, 'UNSUPPORTED_MEDIA_TYPE'],
        ['bomb.png', 413, 'PAYLOAD_TOO_LARGE'],
        ['boastful.png', 413, 'PAYLOAD_TOO_LARGE'],
        ['endless.png', 413, 'PAYLOAD_TOO_LARGE'],
        ['broken.png', 502, 'BACKEND_ERROR'],
        ['down.png', 502, 'BACKEND_ERROR'],
        ['elsewhere.png', 502, 'BACKEND_ERROR'],
        ['slow.png', 504, 'TIMEOUT'],
    ];
    for (const [key, status, code] of rows) {
        const start = Date.now();
        const answer = await ask(key);
        const body = problem(answer);
        assert.deepEqual([Number(answer.status), body.code], [status, code], key);
        assert.deepEqual([body.status, body.instance, body.detail], [status, `/images/${key}`, body.message], key);
        assert.equal(body.retryable, status >= 500, key);
        assert.equal(header(answer, 'retry-after'), body.retryAfter?.toString(), key);
        assert.equal(body.requestId, header(answer, 'x-request-id'), key);
        assert.equal(header(answer, 'cache-control'), 'no-store', key);
        assert.equal(header(answer, 'content-type'), 'application/problem+json', key);
        assert.ok(Date.now() - start < 7000, key);
    }
});

test('a connection that the bucket has closed meanwhile is no failure', async () => {
    const before = seen.length;
    for (let time = 0; time < 4; time += 1) {
        assert.equal((await ask('kept.png')).status, '200', `${time}`);
    }
    assert.equal(seen.length - before, 7, 'one request, and three that were sent once more');
});

test('what is not valid never reaches the bucket', async () => {
    const before = seen.length;
    const rows = [
        ['a.png', 'w=0', 'w'],
        ['a.png', 'w=1&w=2', 'w'],
        ['../a.png', 'w=300', 'key'],
        ['a%2f..%2fb.png', 'w=300', 'key'],
        ['http://169.254.169.254/latest/meta-data', '', 'key'],
        ['x@169.254.169.254/a.png', '', 'key'],
        ['a\r\nset-cookie: a=1', '', 'key'],
    ];
    for (const [key, query, field] of rows) {
        const body = problem(await ask(key, query));
        assert.deepEqual([body.code, Object.keys(body.details)], ['VALIDATION_ERROR', [field]], key);
    }
    assert.equal(seen.length, before);
});

test('what is too large for a generated response goes on to the origin', async () => {
    const before = event({ uri: '/images/noise.png', querystring: 'q=90&format=webp&w=2048' });
    const answer = await handler(before);
    assert.equal(answer.status, undefined);
    assert.equal(answer.uri, '/images/noise.png');
    assert.equal(answer.querystring, 'w=2048&q=90');
    assert.equal(header(answer, 'accept'), 'image/webp');
    assert.deepEqual(answer.origin, event().Records[0].cf.request.origin);
    const small = await ask('noise.png', 'w=300&format=webp');
    assert.equal(small.status, '200');
});

test('what is not its own goes on as it is', async () => {
    for (const change of [{ uri: '/api/v2/products' }, { uri: '/api/v2/products', method: 'POST' }]) {
        assert.deepEqual(await handler(event(change)), event(change).Records[0].cf.request);
    }
});

test('a method that the route does not have is refused here, and reaches neither bucket nor origin', async () => {
    const before = seen.length;
    for (const method of ['OPTIONS', 'PUT', 'POST', 'PATCH', 'DELETE']) {
        const answer = await ask('a.png', undefined, { method });
        assert.deepEqual([answer.status, header(answer, 'allow'), problem(answer).code], ['405', 'GET,HEAD', 'METHOD_NOT_ALLOWED'], method);
        assert.equal(header(answer, 'cache-control'), 'no-store', method);
    }
    assert.equal(seen.length, before);
});

test('addresses are signed where there are secrets', async () => {
    const secrets = ['the-secret-of-today-for-signed-addresses', 'the-secret-of-yesterday-still-verifies'];
    const signed = await load({ endpoint, secrets });
    const end = Math.floor(Date.now() / 1000) + 600;
    const query = (secret, end, width = 64) => {
        const text = `/images/a.png?w=64&q=80&expires=${end}`;
        return `w=${width}&format=webp&expires=${end}&signature=${createHmac('sha256', secret).update(text).digest('hex')}`;
    };
    const ask = (querystring) => signed(event({ uri: '/images/a.png', querystring }));
    for (const secret of secrets) {
        const answer = await ask(query(secret, end));
        assert.equal(answer.status, '200');
        const age = Number(/max-age=(\d+),/.exec(header(answer, 'cache-control'))[1]);
        assert.ok(age > 590 && age <= 600, `${age}`);
    }
    const before = seen.length;
    const wrong = ['w=64', query('another-secret-that-nobody-knows-here', end), query(secrets[0], end, 80), query(secrets[0], 1)];
    for (const querystring of wrong) {
        assert.deepEqual([problem(await ask(querystring)).code], ['FORBIDDEN'], querystring);
    }
    assert.equal(seen.length, before);
});

test('without credentials it says so, and in the log only', async () => {
    const { AWS_ACCESS_KEY_ID: id } = process.env;
    delete process.env.AWS_ACCESS_KEY_ID;
    const body = problem(await ask('a.png'));
    process.env.AWS_ACCESS_KEY_ID = id;
    assert.deepEqual([body.code, /credential/i.test(body.message)], ['INTERNAL', false]);
});
