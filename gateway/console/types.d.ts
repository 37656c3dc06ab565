// The types of what the scripts (static/) and the gateway's API (gateway/people/) exchange. Only the type checker uses them.

/** The types of elements by their id, where they are more special than HTMLElement. */
interface Parts {
  back: HTMLAnchorElement;
  figures: HTMLTableElement;
  from: HTMLInputElement;
  to: HTMLInputElement;
  when: HTMLDetailsElement;
  bar: HTMLProgressElement;
  boxes: SVGSVGElement;
  key: HTMLInputElement;
  "like-meaning": HTMLAnchorElement;
  "like-words": HTMLAnchorElement;
  models: HTMLTableElement;
  more: HTMLButtonElement;
  open: HTMLAnchorElement;
  picture: HTMLImageElement;
  q: HTMLInputElement;
  scope: HTMLFieldSetElement;
  texts: HTMLScriptElement;
}

/** The children of an element: nodes, texts, and lists of them. null: nothing. */
type Children = Node | string | null | (Node | string | null)[];

type Mode = "ocr" | "clip" | "hybrid";
type Task = "ocr" | "clip";

/** A search. `mode` is from the address and may be anything: the gateway refuses a wrong one. */
interface SearchRequest {
  q: string;
  mode: string;
  filters: string[];
  like: Like | null;
}

/** Photos like the photo with that id, instead of photos that match words. */
interface Like {
  photo: string;
  by: "meaning" | "words";
}

/** Corners of a line, x and y in turn, 0 to 1, clockwise from the top left of its text. */
type Box = number[];

interface Line {
  text: string;
  box: Box;
}

interface Failure {
  error: string;
  attempts: number;
  failedAt: string;
  givenUp: boolean;
}

/** A photo that could not be read. */
interface Failed extends Failure {
  assetId: string;
  fileName: string | null;
  own: boolean;
}

/** GET /api/me */
interface Me {
  id: string;
  name: string;
  isAdmin: boolean;
  may: { search: boolean; thumbnails: boolean; faces: boolean; reprocess: boolean };
  demoModel: string | null;
}

type State = "indexed" | "waiting" | "running" | "failed" | "missing";

interface Reading {
  lines: Line[];
  ocrModel: string | null;
  clipModel: string | null;
  indexedAt: string | null;
}

/** GET /api/assets/{id}. `matched` is there if a query was given. */
interface Photo extends Reading {
  assetId: string;
  fileName: string;
  takenAt: string;
  own: boolean;
  current: boolean;
  state: State;
  failure: Failure | null;
  immich: string | null;
  matched?: number[];
}

interface Compared {
  state: "indexed";
  before: Reading;
  after: Reading;
  vector: { changed: boolean; cosine: number | null };
}

/** POST /api/assets/{id}/reprocess */
type Reprocessed =
  | Compared
  | { state: "failed"; failure: Failure | null }
  | { state: "waiting" };

/** What is known of a photo and matches. */
interface Fact {
  field: string;
  value: string;
  word: string;
}

interface Item {
  assetId: string;
  fileName: string;
  takenAt: string;
  why: { kind: "text" | "meaning" | "both"; text: string | null; boxes: Box[]; fields: Fact[]; forgiven: boolean; pinyin: boolean };
}

/** GET /api/assets/{id}/similar. `missing`: what the photo lacks, so that nothing could be compared. */
interface SimilarAnswer {
  by: "meaning" | "words";
  fileName: string;
  items: Item[];
  next: number | null;
  missing: "vector" | "reading" | "text" | null;
}

/** GET /api/search. `similar`: what was asked for instead. */
interface Answer {
  mode: Mode;
  items: Item[];
  next: number | null;
  textMatches: number | null;
  withoutMeaning: boolean;
  notes: string[];
  similar?: SimilarAnswer;
}

/** GET /api/search/years */
interface YearsAnswer {
  years: { year: number; photos: number }[];
}

/** What the reader may be typing. `personId`: of a person. */
interface Suggestion {
  kind: "person" | "place" | "album" | "tag" | "word";
  value: string;
  personId: string | null;
}

/** GET /api/suggest. `before`: what was typed before the last word. */
interface Suggested {
  before: string;
  items: Suggestion[];
}

interface WorkerFigures {
  name: string;
  device: string;
  photos: number;
  photosPerMinute: number;
  seenSeconds: number;
  polling: boolean;
}

/** A model's weights that are not there yet. */
interface WeightsFigures {
  use: "clip" | "faces";
  model: string;
  arrived: number;
  size: number;
  host: string;
  reason: string;
}

interface ModelFigures {
  ocrModel: string | null;
  clipModel: string | null;
  photos: number;
}

interface EngineFigures {
  engine: string;
  worker: string;
  state: string;
  since: string;
  reason: string;
  nextTry: string | null;
  photos: number;
}

interface VectorFigures {
  width: number;
  dimensions: number | null;
  advice: string | null;
}

interface ChangeFigures {
  current: string;
  next: string;
  photos: number;
  made: number;
  givenUp: number;
  etaSeconds: number | null;
}

/** GET /api/status, and each event of /api/status/events; workers and advice are given only for the whole queue. */
interface Status {
  total: number;
  indexed: number;
  waiting: number;
  running: number;
  retrying: number;
  failed: number;
  withText: number;
  photosPerMinute: number;
  etaSeconds: number | null;
  engines: EngineFigures[];
  workersAlive: number;
  weights: WeightsFigures[];
  demoModel: string | null;
  failures: Failed[];
  models: ModelFigures[];
  vector: VectorFigures;
  workers: WorkerFigures[];
  change: ChangeFigures | null;
  advice: string[];
}

interface TrialCost {
  seconds: number | null;
  memory: number | null;
}

interface TrialScore {
  kind: "description" | "tag" | "album" | "person" | "all";
  questions: number;
  current: number;
  tried: number;
  low: number;
  high: number;
  verdict: "few" | "same" | "better" | "worse";
}

/** In GET /api/trial. */
interface Trial {
  madeAt: string;
  current: string;
  tried: string;
  setting: string;
  photos: number;
  leftOut: number;
  lacking: number;
  seconds: number | null;
  scores: TrialScore[];
  currentCost: TrialCost;
  triedCost: TrialCost;
}

interface TrialPhoto {
  assetId: string;
  fileName: string;
  current: number;
  tried: number;
  currentRank: number;
  triedRank: number;
}

/** GET /api/trial/search */
interface TrialSearchAnswer {
  photos: number;
  items: TrialPhoto[];
}

interface DocumentEventMap {
  "signed-out": CustomEvent<Error>;
}
