/** The least that serves HTTP in Node: what the agent's memory is compared with. `node bare.ts ADDRESS` */
import { createServer } from 'node:http';

createServer((_request, response) => response.end('ok\n')).listen(8080, process.argv[2]);
