import { useEffect, useRef, useState } from "preact/hooks";
import type { Job } from "../../client/client.ts";
import { bytes, count, percent } from "../format.ts";
import { BadFile, formatOf, type ItemFormat, itemsOf, previewOf, sizeInWords } from "../item-file.ts";
import { Flow } from "../parts/flow.tsx";
import { Panel, Problem } from "../parts/panel.tsx";
import { goTo } from "../place.ts";
import { hrefOf } from "../routing.ts";
import { problemOf, session } from "../session.ts";

interface Progress {
  read: number;
  items: number;
}

type Upload =
  | { step: "idle" }
  | { step: "sending"; progress: Progress }
  /** With the same key it goes on where it stopped. */
  | { step: "stopped"; progress: Progress; why: string; mayGoOn: boolean };

const PREVIEW = 3;
const PREVIEW_CHARS = 400;

/** Many runs, from a file or from what is pasted. The file is read as a stream, whatever its size. */
export function BulkForm({ job, isClosed }: { job: Job; isClosed: boolean }) {
  const [file, setFile] = useState<File | null>(null);
  const [text, setText] = useState("");
  const [format, setFormat] = useState<ItemFormat>("ndjson");
  const [field, setField] = useState("");
  const [most, setMost] = useState("");
  const [preview, setPreview] = useState<string[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [upload, setUpload] = useState<Upload>({ step: "idle" });
  const key = useRef(crypto.randomUUID());
  const stop = useRef<AbortController | null>(null);
  const isLeft = useRef(false);
  const isSending = upload.step === "sending";
  useEffect(
    () => () => {
      isLeft.current = true;
    },
    [],
  );
  useEffect(() => {
    if (!isSending) return;
    // The browser asks before the tab is closed in the middle of it.
    const hold = (event: Event): void => event.preventDefault();
    addEventListener("beforeunload", hold);
    return () => removeEventListener("beforeunload", hold);
  }, [isSending]);
  const source = file ?? (text.trim() === "" ? null : new File([text], "pasted"));

  /** Whatever changes makes another batch of it. */
  const changed = (): void => {
    key.current = crypto.randomUUID();
    setUpload({ step: "idle" });
  };
  const look = async (at: File | null, as: ItemFormat): Promise<void> => {
    setProblem(null);
    setPreview(null);
    if (at === null) return;
    try {
      setPreview(await previewOf(at, as, PREVIEW));
    } catch (error) {
      setProblem(wordsOf(error));
    }
  };
  const take = (chosen: File | null): void => {
    const as = chosen === null ? format : formatOf(chosen.name);
    changed();
    setFile(chosen);
    setFormat(as);
    void look(chosen, as);
  };
  const send = async (): Promise<void> => {
    if (source === null || session.value === null) return;
    const progress = { read: 0, items: 0 };
    const show = (): void => setUpload({ step: "sending", progress: { ...progress } });
    stop.current = new AbortController();
    setProblem(null);
    show();
    try {
      const items = itemsOf(source, {
        format,
        idempotencyField: field.trim() || undefined,
        onRead: (n) => (progress.read = n),
      });
      const made = await session.value.client.bulk(job.id, items, {
        idempotencyKey: key.current,
        max_concurrency: most === "" ? undefined : Number(most),
        signal: stop.current.signal,
        onProgress: (sent) => {
          progress.items = sent.items;
          show();
        },
      });
      // Who went on to another page meanwhile is left there.
      if (!isLeft.current) goTo(hrefOf("batches", made.batch_id));
    } catch (error) {
      setUpload({ step: "stopped", progress, why: wordsOf(error), mayGoOn: !(error instanceof BadFile) });
    }
  };

  return (
    <Panel title="Many runs">
      <div class="panel-body stack">
        <DropPlace file={file} isLocked={isSending} onFile={take} />
        {file === null && (
          <div class="field">
            <label for="pasted">…or paste lines here</label>
            <textarea
              id="pasted"
              rows={5}
              spellcheck={false}
              placeholder={'{"order": 1}\n{"order": 2}'}
              value={text}
              disabled={isSending}
              onInput={(e) => {
                setText(e.currentTarget.value);
                changed();
              }}
              onBlur={() => look(source, format)}
            />
          </div>
        )}
        <div class="fields">
          <div class="field">
            <label for="format">Format</label>
            <select
              id="format"
              value={format}
              disabled={isSending}
              onChange={(e) => {
                const as = e.currentTarget.value as ItemFormat;
                setFormat(as);
                changed();
                void look(source, as);
              }}
            >
              <option value="ndjson">NDJSON, one value a line</option>
              <option value="csv">CSV with a head</option>
            </select>
          </div>
          <div class="field">
            <label for="most">At once, of this batch</label>
            <input
              id="most"
              type="number"
              min={1}
              placeholder="as the job"
              value={most}
              disabled={isSending}
              onInput={(e) => {
                setMost(e.currentTarget.value);
                changed();
              }}
            />
          </div>
          <div class="field">
            <label for="field">Idempotency key from</label>
            <input
              id="field"
              placeholder="a field's name"
              value={field}
              disabled={isSending}
              onInput={(e) => {
                setField(e.currentTarget.value);
                changed();
              }}
            />
          </div>
        </div>
        <Preview items={preview} />
        <Problem text={problem} />
        <Sending upload={upload} total={source?.size ?? 0} />
        <div class="row">
          {isSending ? (
            <button type="button" onClick={() => stop.current?.abort(new Error("It was stopped here."))}>
              Stop
            </button>
          ) : (
            <button
              type="button"
              class="primary"
              disabled={isClosed || source === null || problem !== null}
              onClick={send}
            >
              {upload.step === "stopped" && upload.mayGoOn ? "Go on" : "Trigger all"}
            </button>
          )}
          {file !== null && !isSending && (
            <button type="button" onClick={() => take(null)}>
              Another file
            </button>
          )}
        </div>
      </div>
    </Panel>
  );
}

const wordsOf = (error: unknown): string => (error instanceof BadFile ? error.message : problemOf(error));

function DropPlace({ file, isLocked, onFile }: { file: File | null; isLocked: boolean; onFile: (file: File) => void }) {
  const [isOver, setOver] = useState(false);
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    const dropped = event.dataTransfer?.files[0];
    if (dropped && !isLocked) onFile(dropped);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the file field in it does the same for the keyboard
    <div
      class={isOver ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      {file ? (
        <p class="drop-name">{sizeInWords(file)}</p>
      ) : (
        <>
          <label for="file">Drop a file of NDJSON or CSV, or choose one</label>
          <input
            id="file"
            type="file"
            disabled={isLocked}
            onChange={(event) => {
              const chosen = event.currentTarget.files?.[0];
              if (chosen) onFile(chosen);
            }}
          />
        </>
      )}
      <p class="field-hint">Up to a million items. Gzip is unpacked.</p>
    </div>
  );
}

function Preview({ items }: { items: string[] | null }) {
  if (items === null) return null;
  const lines = items.map((item) => (item.length > PREVIEW_CHARS ? `${item.slice(0, PREVIEW_CHARS)}…` : item));
  return (
    <div class="field">
      <span class="field-hint">The first items, as they will be sent</span>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so must take the focus */}
      <section class="scroll preview" tabIndex={0} aria-label="The first items">
        <pre>{lines.join("\n")}</pre>
      </section>
    </div>
  );
}

function Sending({ upload, total }: { upload: Upload; total: number }) {
  if (upload.step === "idle") return null;
  const { read, items } = upload.progress;
  return (
    <div class="field" role="status" aria-live="polite">
      <Flow isSmall label="Read" total={Math.max(total, 1)} parts={[{ label: "read", value: read, kind: "busy" }]} />
      <span class="number">
        {count(items)} items sent, {bytes(read)} of {bytes(total)} read ({percent(total === 0 ? 1 : read / total)})
      </span>
      {upload.step === "stopped" && (
        <Problem
          text={
            upload.mayGoOn
              ? `${upload.why} What was sent is kept: it can go on from there.`
              : `${upload.why} What was sent before is kept as an unfinished batch.`
          }
        />
      )}
    </div>
  );
}
