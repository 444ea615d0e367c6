import { isProblem, type Problem } from '../../api/problem.ts';
import type { FetchExposition } from './fetch-exposition.ts';
import { createLineReader } from './line-reader.ts';
import { createSeriesReader } from './series.ts';

/** Lines beyond this are none of a gauge without labels of its own. */
const maxLineBytes = 1_024;

/** Asks the broker how many topics it serves now; reads no further than to the gauge that says so. */
export async function readTopicsOwned(fetchExposition: FetchExposition): Promise<number | Problem> {
  let topics: number | Problem = {
    problem: 'there is no danube_broker_topics_owned: is this the endpoint of a broker?',
  };
  const series = createSeriesReader({
    onTopicFigure: () => undefined,
    onTopicsOwned: (owned) => {
      topics = owned;
    },
  });
  const lines = createLineReader({ maxLineBytes, onLine: series.readLine });
  const problem = await fetchExposition((chunk) => {
    lines.push(chunk);
    return isProblem(topics) ? 'more' : 'stop';
  });
  return problem ?? topics;
}
