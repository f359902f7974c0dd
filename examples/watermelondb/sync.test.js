import { scenarios } from '../testing/scenarios.js';
import { openDevice } from './device.js';

scenarios('watermelondb', openDevice);
