// Lays out graphs: a list in ELK's JSON comes in on standard input, the same with positions goes out.
import { readFileSync } from "node:fs";

import ELK from "elkjs";

const elk = new ELK();
const placed = [];
for (const graph of JSON.parse(readFileSync(0, "utf8"))) placed.push(await elk.layout(graph));
process.stdout.write(JSON.stringify(placed));
