// One signed GET of S3 over Node's own HTTPS client: loading the SDK would take longer than making the thumbnail.

import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

import { Failure } from './errors.mjs';

const FETCH_MILLIS = 5_000;
export const MAX_INPUT = 20 * 1024 * 1024;
const NO_BODY = createHash('sha256').digest('hex');

const agents = {
    'https:': new https.Agent({ keepAlive: true }),
    'http:': new http.Agent({ keepAlive: true }),
};

// The bytes of an object, counted while they come in. `key` has nothing in it that would have to be encoded.
export async function fetchObject({ bucket, region, endpoint }, key, environment) {
    const url = new URL(endpoint ? `${endpoint}/${bucket}/${key}` : `https://${bucket}.s3.${region}.amazonaws.com/${key}`);
    const headers = sign(url, region, environment, new Date());
    const signal = AbortSignal.timeout(FETCH_MILLIS);
    try {
        return await get(url, headers, signal, key);
    } catch (error) {
        if (error instanceof Failure) {
            throw error;
        }
        throw new Failure(signal.aborted ? 'TIMEOUT' : 'BACKEND_ERROR', undefined, error);
    }
}

function get(url, headers, signal, key) {
    return new Promise((resolve, reject) => {
        const client = url.protocol === 'https:' ? https : http;
        const request = client.get(url, { headers, signal, agent: agents[url.protocol] }, (response) => {
            const refuse = (failure) => {
                // In this order: a destroyed answer reports that it broke off.
                reject(failure);
                response.destroy();
            };
            const missing = (cause) => new Failure('NOT_FOUND', `There is no picture ${key}.`, cause);
            if (response.statusCode === 404) {
                return refuse(missing());
            }
            if (response.statusCode === 403) {
                // S3 denies an object that is not there to those who may not list the bucket. Credentials that have
                // expired, a wrong region or a wrong clock are no reason to say that there is no picture.
                return errorCode(response).then((code) => {
                    const cause = `the bucket answered 403 ${code}`;
                    refuse(code === 'AccessDenied' ? missing(cause) : new Failure('BACKEND_ERROR', undefined, cause));
                }, reject);
            }
            if (response.statusCode !== 200) {
                return refuse(new Failure('BACKEND_ERROR', undefined, `the bucket answered ${response.statusCode}`));
            }
            const tooLarge = () => new Failure('PAYLOAD_TOO_LARGE', 'The picture is too large: the file has more than 20 MB.');
            if (Number(response.headers['content-length'] ?? 0) > MAX_INPUT) {
                return refuse(tooLarge());
            }
            const chunks = [];
            let size = 0;
            response.on('data', (chunk) => {
                size += chunk.length;
                if (size > MAX_INPUT) {
                    return refuse(tooLarge());
                }
                chunks.push(chunk);
            });
            response.on('end', () => resolve(Buffer.concat(chunks, size)));
            response.on('error', reject);
            response.on('aborted', () => reject(new Error('the answer broke off')));
        });
        request.on('error', (error) => {
            // S3 closes connections that were kept, as while this process was frozen, and only the next request on one
            // notices. Nothing was answered, so once more, on another connection.
            const stale = request.reusedSocket && error.code === 'ECONNRESET';
            stale ? get(url, headers, signal, key).then(resolve, reject) : reject(error);
        });
    });
}

// The code of an error of S3, which is a small XML document.
async function errorCode(response) {
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) {
        text += chunk;
        if (text.length > 4096) {
            break;
        }
    }
    return /<Code>(\w+)<\/Code>/.exec(text)?.[1];
}

// Signature version 4 of a GET without query and body.
export function sign(url, region, environment, now) {
    const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = environment;
    if (!id || !secret) {
        throw new Failure('INTERNAL', undefined, 'there are no credentials to sign with');
    }
    const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
    const headers = { host: url.host, 'x-amz-content-sha256': NO_BODY, 'x-amz-date': time };
    if (token) {
        headers['x-amz-security-token'] = token;
    }
    const names = Object.keys(headers).sort();
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
    const canonical = `GET\n${url.pathname}\n\n${lines}\n${names.join(';')}\n${NO_BODY}`;
    const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
    const hash = createHash('sha256').update(canonical).digest('hex');
    const key = scope.split('/').reduce((key, part) => hmac(key, part), `AWS4${secret}`);
    const signature = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash}`).toString('hex');
    const authorization = `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
    return { ...headers, authorization };
}

function hmac(key, text) {
    return createHmac('sha256', key).update(text).digest();
}
