// The parser in front of the cache, the signature of a request to S3, and the table of errors.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';

import { FACTS } from '../errors.mjs';
import { sign } from '../s3.mjs';

const read = (name) => fs.readFileSync(new URL(name, import.meta.url), 'utf8');
const vectors = JSON.parse(read('../../core/vectors.json'));

// CloudFront's form of a query: values as sent, and all of them where there are several.
function parsed(query) {
    const parameters = {};
    for (const pair of query.split('&').filter(Boolean)) {
        const [name, ...rest] = pair.split('=');
        const value = rest.join('=');
        const known = parameters[name];
        if (known) {
            known.multiValue = [...(known.multiValue ?? [{ value: known.value }]), { value }];
        } else {
            parameters[name] = { value };
        }
    }
    return parameters;
}

const joined = (query) => Object.entries(query).map(([name, { value }]) => `${name}=${value}`).join('&');

function viewer(signed) {
    const text = read('../viewer.js').replace('const SIGNED = false;', `const SIGNED = ${signed};`);
    return vm.runInNewContext(`${text}; handler`);
}

test('both parsers come to the same answers', () => {
    const handlers = new Map([false, true].map((signed) => [signed, viewer(signed)]));
    let compared = 0;
    for (const { title, signed = false, key, query, accept, canonical, invalid } of vectors) {
        // Keys and signatures are checked at the origin request alone.
        if (invalid === 'key' || (canonical === undefined && invalid === undefined)) continue;
        const request = { uri: `/images/${key}`, querystring: parsed(query), headers: accept === null ? {} : { accept: { value: accept } } };
        const after = handlers.get(signed)({ request });
        assert.equal(joined(after.querystring), invalid === undefined ? canonical : joined(parsed(query)), title);
        compared += 1;
    }
    assert.ok(compared > 45, `${compared}`);
});

test('the sample event becomes the canonical request', () => {
    const request = viewer(false)(JSON.parse(read('../../../../events/cloudfront-viewer-request.json')));
    const origin = JSON.parse(read('../../../../events/cloudfront-origin-request.json'));
    assert.equal(joined(request.querystring), origin.Records[0].cf.request.querystring);
});

test('it fits what a CloudFront Function may be', () => {
    const text = read('../viewer.js');
    assert.ok(Buffer.byteLength(text) < 10 * 1024);
    assert.ok(!/\b(import|export|require|class)\b/.test(text.replace(/\/\/.*/g, '')));
});

test('a request is signed as botocore signs it', () => {
    const environment = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', AWS_SESSION_TOKEN: 'session' };
    const url = new URL('https://bff-images.s3.eu-north-1.amazonaws.com/products/2024/p_0001.v2.jpg');
    const headers = sign(url, 'eu-north-1', environment, new Date('2026-01-02T03:04:05.678Z'));
    assert.equal(headers['x-amz-date'], '20260102T030405Z');
    assert.equal(
        headers.authorization,
        'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-north-1/s3/aws4_request, ' +
            'SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, ' +
            'Signature=6f56d658016e44d824642b041b17c840b616677299fa1229ff7083f1d31deb10',
    );
});

test('the table of errors is the one of the service', () => {
    const source = read('../../../../shared/src/error.rs');
    for (const [code, { status, title, retryAfter }] of Object.entries(FACTS)) {
        const row = new RegExp(`(\\w+), "${code}", "(.*)", (None|Some\\((\\d+)\\));`).exec(source);
        assert.ok(row, code);
        const statuses = { BAD_REQUEST: 400, FORBIDDEN: 403, NOT_FOUND: 404, METHOD_NOT_ALLOWED: 405, PAYLOAD_TOO_LARGE: 413, UNSUPPORTED_MEDIA_TYPE: 415, INTERNAL_SERVER_ERROR: 500, BAD_GATEWAY: 502, GATEWAY_TIMEOUT: 504 };
        assert.deepEqual([status, title, retryAfter], [statuses[row[1]], row[2], row[4] && Number(row[4])], code);
    }
});
