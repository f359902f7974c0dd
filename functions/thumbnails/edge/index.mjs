// Lambda@Edge, origin request, on /images/*: makes the thumbnail here, at the edge. What is too large for a generated
// response goes on to the origin of the behaviour, the regional function, which makes the same bytes.

import { createRequire } from 'node:module';

import config from './config.mjs';
import { Failure, failure } from './errors.mjs';
import { fetchObject } from './s3.mjs';

const addon = createRequire(import.meta.url)('./thumbnails.node');

// A generated response may have 1 MB, headers and base64 included.
const MAX_BODY = 740_000;
const METHODS = ['GET', 'HEAD'];
const WHOLE_MILLIS = 10_000;
const LIFETIME = 365 * 24 * 60 * 60;

// What the service's middleware sets on every answer.
const COMMON = {
    'x-content-type-options': 'nosniff',
    'strict-transport-security': 'max-age=63072000; includeSubDomains',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
};

export async function handler(event) {
    const deadline = Date.now() + WHOLE_MILLIS;
    const { request, config: invocation } = event.Records[0].cf;
    if (!request.uri.startsWith('/images/')) {
        return request;
    }
    const refuse = (code, message, details, headers) => {
        const error = failure(code, message, details, invocation.requestId, request.uri, config.docsUrl);
        return generated(error.status, { ...error.headers, ...headers }, error.body, invocation.requestId);
    };
    if (!METHODS.includes(request.method)) {
        return refuse('METHOD_NOT_ALLOWED', undefined, undefined, { allow: METHODS.join() });
    }
    try {
        const now = Math.floor(Date.now() / 1000);
        const accept = request.headers.accept?.map(({ value }) => value).join(',');
        const key = request.uri.slice('/images/'.length);
        const asked = addon.parse(key, request.querystring, accept, config.secrets, now);
        if (asked.field !== undefined) {
            const { field, reason } = asked;
            return refuse('VALIDATION_ERROR', `${field}: ${reason}`, { [field]: reason });
        }
        if (asked.reason !== undefined) {
            return refuse('FORBIDDEN', `The address was refused: ${asked.reason}.`);
        }
        const source = await fetchObject(config, asked.key, process.env);
        const made = addon.render(source, asked.query, Math.max(1, deadline - Date.now()));
        if (made.code !== undefined) {
            console.error(JSON.stringify({ message: 'no thumbnail', key, code: made.code, reason: made.reason }));
            return refuse(made.code, made.code === 'PAYLOAD_TOO_LARGE' ? `The picture is too large: ${made.reason}.` : undefined);
        }
        if (made.bytes.length > MAX_BODY) {
            // Without the format, so that the origin negotiates it, and its answer is marked as the one below.
            request.querystring = asked.query.replace(/format=\w+&/, '');
            request.headers.accept = [{ key: 'Accept', value: made.mediaType }];
            return request;
        }
        // The address has a format here whether the client named one or `viewer.js` chose it, and one cached answer is for
        // both. Caches behind CloudFront know the address that the client asked for.
        const headers = { 'content-type': made.mediaType, 'cache-control': cacheControl(asked, now), vary: 'Accept' };
        return generated(200, headers, request.method === 'HEAD' ? undefined : made.bytes, invocation.requestId);
    } catch (error) {
        console.error(JSON.stringify({ message: 'request failed', uri: request.uri, cause: String(error.cause ?? error) }));
        return error instanceof Failure ? refuse(error.failure, error.message) : refuse('INTERNAL');
    }
}

// A signed address is good until its end, and so is what a cache keeps of it.
function cacheControl(asked, now) {
    const lifetime = asked.expires === undefined ? LIFETIME : Math.min(LIFETIME, Math.max(0, asked.expires - now));
    return `public, max-age=${lifetime}, immutable`;
}

function generated(status, headers, body, requestId) {
    const all = { ...COMMON, 'x-request-id': requestId, ...headers };
    const lines = Object.entries(all).map(([key, value]) => [key, [{ key, value: String(value) }]]);
    const response = { status: String(status), headers: Object.fromEntries(lines) };
    return body === undefined ? response : { ...response, bodyEncoding: 'base64', body: body.toString('base64') };
}
