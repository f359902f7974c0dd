// CloudFront Function, viewer request, on /images/*: gives every spelling of a thumbnail one address, in front of the
// cache. It is the parser of ../core/src/request once more; ../core/vectors.json holds the two to the same answers.
//
// What is not valid goes on as it is, and is refused by the origin request. Signatures are carried along, and checked
// there too. CloudFront Functions have no modules, so this is one file with nothing but functions and constants.

// Set by the build: whether addresses are signed.
const SIGNED = false;

const MAX_SIDE = 2048;
const WIDTHS = [
    16, 32, 48, 64, 80, 96, 128, 160, 200, 240, 256, 300, 320, 400, 480, 512, 600, 640, 750, 828, 960, 1080, 1200,
    1440, 1600, 1920, MAX_SIDE,
];
const FITS = ['cover', 'contain', 'fill', 'inside'];
const FORMATS = ['auto', 'webp', 'jpeg'];

function handler(event) {
    const request = event.request;
    const accept = request.headers.accept;
    const canonical = canonicalize(request.querystring, accept ? accept.value : '');
    if (canonical) {
        request.querystring = canonical;
    }
    return request;
}

// The query of CloudFront's event -> the same in its canonical form, or null if it is not valid.
function canonicalize(query, accept) {
    const names = ['w', 'h', 'fit', 'format', 'q', 'dpr', 'expires', 'signature'];
    const given = {};
    for (let i = 0; i < names.length; i++) {
        const parameter = query[names[i]];
        if (parameter) {
            if (parameter.multiValue && parameter.multiValue.length > 1) {
                return null;
            }
            given[names[i]] = parameter.value;
        }
    }
    const w = given.w === undefined ? undefined : number(given.w, 5, 1, 16383);
    const h = given.h === undefined ? undefined : number(given.h, 5, 1, 16383);
    const q = given.q === undefined ? 80 : number(given.q, 3, 1, 100);
    const ratio = given.dpr === undefined ? 100 : hundredths(given.dpr);
    const expires = given.expires === undefined ? 0 : number(given.expires, 12, 0, 999999999999);
    const fit = given.fit === undefined ? 'cover' : given.fit;
    const format = given.format === undefined ? 'auto' : given.format;
    if (w === null || h === null || q === null || ratio === null || expires === null) {
        return null;
    }
    if (FITS.indexOf(fit) < 0 || FORMATS.indexOf(format) < 0) {
        return null;
    }
    const parts = sizes(w, h, ratio);
    if (parts.w && parts.h) {
        parts.fit = { value: fit };
    }
    parts.format = { value: format === 'auto' ? negotiate(accept) : format };
    parts.q = { value: String(Math.min(90, Math.max(30, Math.ceil(q / 10) * 10))) };
    if (SIGNED && given.expires !== undefined && given.signature !== undefined) {
        parts.expires = { value: String(expires) };
        parts.signature = { value: given.signature };
    }
    return parts;
}

function sizes(w, h, ratio) {
    const device = (side) => (side === undefined ? undefined : Math.ceil((side * ratio) / 100));
    let width = device(w);
    let height = device(h);
    if (width !== undefined && height !== undefined) {
        const asked = width;
        width = kept(asked);
        height = divide(height * width, asked);
        if (height > MAX_SIDE) {
            width = divide(width * MAX_SIDE, height);
            height = MAX_SIDE;
        }
    } else {
        width = width === undefined ? undefined : kept(width);
        height = height === undefined ? undefined : kept(height);
    }
    const parts = {};
    if (width !== undefined) {
        parts.w = { value: String(width) };
    }
    if (height !== undefined) {
        parts.h = { value: String(height) };
    }
    return parts;
}

function kept(side) {
    for (let i = 0; i < WIDTHS.length; i++) {
        if (WIDTHS[i] >= side) {
            return WIDTHS[i];
        }
    }
    return MAX_SIDE;
}

// Rounded to the nearest, and never 0.
function divide(dividend, divisor) {
    return Math.max(1, Math.floor((dividend + Math.floor(divisor / 2)) / divisor));
}

function number(text, digits, low, high) {
    if (!/^[0-9]+$/.test(text) || text.length > digits) {
        return null;
    }
    const value = Number(text);
    return value >= low && value <= high ? value : null;
}

// `1`, `2.5` or `2.63` as hundredths.
function hundredths(text) {
    if (!/^[0-9](\.[0-9]{1,2})?$/.test(text)) {
        return null;
    }
    const value = Number(text[0]) * 100 + Number((text.slice(2) + '00').slice(0, 2));
    return value >= 100 && value <= 300 ? value : null;
}

// WebP for those who name it: old browsers accept `image/*` and `*/*`, and cannot show it.
function negotiate(accept) {
    const ranges = accept.split(',');
    for (let i = 0; i < ranges.length; i++) {
        const parts = ranges[i].split(';').map((part) => part.trim());
        const refused = parts.slice(1).some((part) => /^[qQ]=[^1-9]*$/.test(part));
        if (parts[0].toLowerCase() === 'image/webp' && !refused) {
            return 'webp';
        }
    }
    return 'jpeg';
}
