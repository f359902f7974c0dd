// The golden cases of the route, which the container and the regional function answer with: the same bytes here.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { test } from 'node:test';

import { event, load } from './bucket.mjs';

const cases = new URL('../../tests/cases/', import.meta.url);
const read = (name) => JSON.parse(fs.readFileSync(new URL(name, cases), 'utf8'));

test('the edge answers as the other shells do', { skip: !process.env.PHOTOS && 'PHOTOS is not set' }, async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' });
    console.error = () => {};
    const docsUrl = 'https://docs.example.com/mobile-bff';
    const handler = await load({ endpoint: process.env.PHOTOS, bucket: 'bff-images', docsUrl });
    let compared = 0;
    for (const name of fs.readdirSync(cases).sort()) {
        const { request, response } = read(name);
        // The edge function takes what is behind /images/ for a key, also nothing.
        if (request.target === '/images/') continue;
        const [uri, querystring = ''] = request.target.split('?');
        const headers = Object.fromEntries(Object.entries(request.headers ?? {}).map(([key, value]) => [key, [{ key, value }]]));
        const sent = event({ method: request.method, uri, querystring, headers });
        sent.Records[0].cf.config.requestId = 'golden';
        const answer = await handler(sent);
        const got = Object.fromEntries(Object.entries(answer.headers).map(([key, [{ value }]]) => [key, value]));
        const expected = { ...response.headers };
        // The other shells compress what an error says for those who ask; behind this one, CloudFront does.
        if (expected.vary === 'Accept-Encoding') delete expected.vary;
        // Its cache has one answer for those who name the format and those who do not.
        if (response.status === 200) expected.vary = 'Accept';
        assert.deepEqual([Number(answer.status), got], [response.status, expected], name);
        const body = Buffer.from(answer.body ?? '', 'base64');
        if (typeof response.body === 'string') {
            const hash = createHash('sha256').update(body).digest('hex').slice(0, 16);
            assert.equal(`${body.length} bytes, sha256 ${hash}…`, response.body, name);
        } else if (response.body !== null) {
            assert.deepEqual(JSON.parse(body), response.body, name);
        }
        compared += 1;
    }
    assert.ok(compared >= 17, `${compared}`);
});
