// The thumbnails' core against sharp, in one Node process, taking turns, in CPU time. Prints a table in Markdown;
// results and pictures go to target/bench-thumbnails, where quality.py compares them.
//
//   node bench/thumbnails/bench.mjs [--runs 15]

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const addonPath = path.join(root, 'target/edge/edge/thumbnails.node');
const zipPath = path.join(root, 'target/edge/edge.zip');
const images = path.join(root, '.tools/images');
const out = path.join(root, 'target/bench-thumbnails');
const sharpPath = path.join(root, 'bench/thumbnails/node_modules');

const debian = (name, ...parts) => path.join(images, name, 'usr/share', ...parts);
const ubports = (file) => debian('lomiri-wallpapers-16.04', 'backgrounds', file);
const newer = (file) => debian('lomiri-wallpapers-20.04', 'backgrounds', file);
const baseline = (file) => path.join(images, 'baseline', file);
const flower = (file) => debian('libjxl-testdata', 'libjxl-testdata/jxl/flower', file);
const mate = (file) => debian('mate-backgrounds', 'backgrounds/mate', file);

const SQUARE = [300, 300];
const WIDE = [1080, undefined];
// Group, file, box.
const CASES = [
    ['12–16 MP baseline', baseline('Dragonfly_by_Bolly.jpg'), SQUARE],
    ['12–16 MP baseline', baseline('sunset_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['12–16 MP baseline', baseline('seeding_by_Clements_Engelhardt.jpg'), SQUARE],
    ['12–16 MP progressive', ubports('Dragonfly_by_Bolly.jpg'), SQUARE],
    ['12–16 MP progressive', ubports('sunset_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['12–16 MP progressive', ubports('seeding_by_Clements_Engelhardt.jpg'), SQUARE],
    ['20 MP baseline', newer('Kleiber_by_Lukas_Baubkus.jpg'), SQUARE],
    ['24 MP baseline with a profile', newer('Painting-Colors_by__herobrine7gamer.jpg'), SQUARE],
    ['6 MP baseline', baseline('aitzgorri_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['6 MP baseline', baseline('life_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['6 MP progressive', ubports('aitzgorri_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['6 MP progressive', ubports('life_by_Aitzol_Berasategi.jpg'), SQUARE],
    ['2–3.4 MP baseline', flower('flower.png.im_q85_444.jpg'), SQUARE],
    ['2–3.4 MP baseline', flower('flower.png.im_q85_422.jpg'), SQUARE],
    ['2–3.4 MP baseline', mate('nature/RainDrops.jpg'), SQUARE],
    ['2–3.4 MP baseline', mate('nature/Storm.jpg'), SQUARE],
    ['2–3.4 MP baseline', mate('nature/Blinds.jpg'), SQUARE],
    ['12–16 MP baseline, 1080 wide', baseline('Dragonfly_by_Bolly.jpg'), WIDE],
    ['12–16 MP baseline, 1080 wide', baseline('sunset_by_Aitzol_Berasategi.jpg'), WIDE],
    ['12–16 MP progressive, 1080 wide', ubports('Dragonfly_by_Bolly.jpg'), WIDE],
    ['20 MP baseline, 1080 wide', newer('Kleiber_by_Lukas_Baubkus.jpg'), WIDE],
    ['2–3.4 MP baseline, 1080 wide', flower('flower.png.im_q85_422.jpg'), WIDE],
    ['2–3.4 MP baseline, 1080 wide', mate('nature/RainDrops.jpg'), WIDE],
    ['PNG, 3.4 MP', flower('flower.png'), SQUARE],
    ['PNG with alpha, 3.4 MP', flower('flower_alpha.png'), SQUARE],
    ['PNG, drawn', mate('desktop/Ubuntu-Mate-Cold-no-logo.png'), SQUARE],
];

const { values } = parseArgs({ options: { runs: { type: 'string', default: '15' } } });
for (const needed of [addonPath, images, sharpPath]) {
    if (!fs.existsSync(needed)) {
        console.error(`${needed} is missing: see "Measuring" in docs/thumbnails.md.`);
        process.exit(1);
    }
}
const addon = createRequire(import.meta.url)(addonPath);
const { default: sharp } = await import('sharp');
// One thread for each picture, and none from before: CPU time is what is compared.
sharp.concurrency(1);
sharp.cache(false);

const contestants = {
    core: async (bytes, [w, h]) => {
        const made = addon.render(bytes, `w=${w}${h ? `&h=${h}` : ''}&format=webp&q=80`, 60_000);
        if (made.code) throw new Error(`${made.code}: ${made.reason}`);
        return made.bytes;
    },
    sharp: (bytes, [w, h]) =>
        sharp(bytes).autoOrient().resize(w, h, { fit: 'cover', withoutEnlargement: true }).webp({ quality: 80, effort: 4 }).toBuffer(),
};

async function cpu(run) {
    const before = process.cpuUsage();
    const output = await run();
    const { user, system } = process.cpuUsage(before);
    return [(user + system) / 1000, output];
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

fs.mkdirSync(out, { recursive: true });
const results = [];
for (const [group, file, box] of CASES) {
    const bytes = fs.readFileSync(file);
    const times = { core: [], sharp: [] };
    const outputs = {};
    for (let run = -2; run < Number(values.runs); run += 1) {
        const order = run % 2 ? ['core', 'sharp'] : ['sharp', 'core'];
        for (const name of order) {
            const [millis, output] = await cpu(() => contestants[name](bytes, box));
            outputs[name] = output;
            if (run >= 0) times[name].push(millis);
        }
    }
    const ratios = times.core.map((core, run) => times.sharp[run] / core);
    const at = results.length;
    for (const name of ['core', 'sharp']) fs.writeFileSync(path.join(out, `${at}-${name}.webp`), outputs[name]);
    results.push({
        group,
        file,
        box,
        core: median(times.core),
        sharp: median(times.sharp),
        ratio: median(ratios),
        bytes: { core: outputs.core.length, sharp: outputs.sharp.length },
    });
    const { core, sharp, ratio } = results[at];
    console.error(`${group}: ${path.basename(file)} ${core.toFixed(1)} ms, sharp ${sharp.toFixed(1)} ms, ${ratio.toFixed(2)}`);
}

// A process of its own each time: loading, the first thumbnail, and the most memory that it took.
const photo = baseline('sunset_by_Aitzol_Berasategi.jpg');
const progressive = ubports('sunset_by_Aitzol_Berasategi.jpg');
const COLD = {
    node: () => '',
    core: (file) => `const made = require(${JSON.stringify(addonPath)}).render(fs.readFileSync(${JSON.stringify(file)}), 'w=300&h=300&format=webp&q=80', 60000); if (!made.bytes) process.exit(1);`,
    sharp: (file) => `const sharp = require(${JSON.stringify(path.join(sharpPath, 'sharp'))}); sharp.cache(false); sharp.concurrency(1); await sharp(fs.readFileSync(${JSON.stringify(file)})).autoOrient().resize(300, 300).webp({ quality: 80, effort: 4 }).toBuffer();`,
};
function cold(name, file) {
    const runs = Array.from({ length: 9 }, () => {
        const script = `const fs = require('fs'); (async () => { const start = process.hrtime.bigint(); ${COLD[name](file)}
            const millis = Number(process.hrtime.bigint() - start) / 1e6;
            const peak = Number(/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
            console.log(JSON.stringify({ millis, peak })); })();`;
        const child = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
        return JSON.parse(child.stdout);
    });
    return { millis: median(runs.map(({ millis }) => millis)), peak: median(runs.map(({ peak }) => peak)) };
}
const bare = cold('node').peak;
const starts = {};
for (const [kind, file] of [['baseline', photo], ['progressive', progressive]]) {
    for (const name of ['core', 'sharp']) {
        const { millis, peak } = cold(name, file);
        starts[`${name} ${kind}`] = { millis, above: peak - bare };
    }
}
const zipped = path.join(out, 'sharp.zip');
fs.rmSync(zipped, { force: true });
spawnSync('zip', ['-qr9X', zipped, '.'], { cwd: sharpPath });
const sizes = { core: fs.statSync(zipPath).size, sharp: fs.statSync(zipped).size };
fs.writeFileSync(path.join(out, 'results.json'), JSON.stringify({ results, starts, sizes }, undefined, 2));
console.error(JSON.stringify({ starts, sizes }));
