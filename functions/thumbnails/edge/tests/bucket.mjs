// A bucket that does everything that a bucket may do, and the package with that bucket in its settings.

import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';

// What scripts/build-edge has made.
export const BUILT = process.env.EDGE_BUILD ?? fileURLToPath(new URL('../../../../target/edge', import.meta.url));

export const event = (change = {}) => {
    const file = new URL('../../../../events/cloudfront-origin-request.json', import.meta.url);
    const event = JSON.parse(fs.readFileSync(file, 'utf8'));
    Object.assign(event.Records[0].cf.request, change);
    return event;
};

// Starts the bucket. `seen` are the requests that it got.
export async function bucket(objects) {
    const seen = [];
    const server = http.createServer((request, response) => {
        seen.push(request);
        const [, , ...key] = request.url.split('/');
        const object = objects[key.join('/')] ?? ((response) => response.writeHead(404).end());
        if (Buffer.isBuffer(object)) {
            response.writeHead(200, { 'content-type': 'text/html', 'set-cookie': 'a=1', 'x-amz-meta-secret': 's' });
            response.end(object);
        } else {
            object(response);
        }
    });
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    return { seen, server, endpoint: `http://127.0.0.1:${server.address().port}` };
}

// A copy of the package with other settings.
export async function load(settings) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'edge-'));
    fs.cpSync(path.join(BUILT, 'edge'), folder, { recursive: true });
    const config = { bucket: 'pictures', region: 'us-east-1', endpoint: null, secrets: [], docsUrl: 'https://docs', ...settings };
    fs.writeFileSync(path.join(folder, 'config.mjs'), `export default ${JSON.stringify(config)};\n`);
    const { handler } = await import(path.join(folder, 'index.mjs'));
    // The loaded add-on stays mapped without its file.
    fs.rmSync(folder, { recursive: true });
    return handler;
}

// A grey PNG; `shade` gives the value at a place. The header may claim to be wider.
export function png(width, height, shade, claimed = width) {
    const rows = Buffer.alloc((width + 1) * height);
    for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = shade(x, y);
    }
    const header = Buffer.alloc(13);
    header.writeUInt32BE(claimed, 0);
    header.writeUInt32BE(height, 4);
    header[8] = 8;
    const chunks = [chunk('IHDR', header), chunk('IDAT', zlib.deflateSync(rows, { level: 1 })), chunk('IEND', Buffer.alloc(0))];
    return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks]);
}

function chunk(type, data) {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const size = Buffer.alloc(4);
    size.writeUInt32BE(data.length);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([size, body, sum]);
}

function crc32(bytes) {
    let sum = 0xffffffff;
    for (const byte of bytes) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
    }
    return (sum ^ 0xffffffff) >>> 0;
}
