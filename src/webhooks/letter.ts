import { checkAddress } from "../domain/address.ts";
import type { BatchRecord } from "../domain/batch.ts";
import type { Sealed } from "../domain/job.ts";
import { openSealed, secretAad } from "../domain/secret.ts";
import { type SigningKeys, signatureHeaders, signingKeys } from "../domain/signature.ts";
import { traceHeaders } from "../domain/traceparent.ts";
import type { SendOutcome } from "../domain/webhook.ts";
import type { Env, Settings } from "../env.ts";
import type { DueDelivery, Receiver, ToldRun } from "../store/webhook-queue.ts";
import type { Letter } from "./send.ts";

/** The batch operation as the API shows it. */
export type ShowBatch = (batch: BatchRecord) => object;

const impossible = (message: string): SendOutcome => ({ kind: "impossible", message });

/** Makes the letters of one receiver: its address is judged and its secrets are opened once. */
export class LetterBook {
  private readonly env: Env;
  private readonly settings: Settings;
  private readonly receiver: Receiver;
  private readonly showBatch: ShowBatch;
  private readonly refusal: string | null;
  private readonly keys = new Map<string, Promise<SigningKeys>>();

  constructor(env: Env, settings: Settings, receiver: Receiver, showBatch: ShowBatch) {
    this.env = env;
    this.settings = settings;
    this.receiver = receiver;
    this.showBatch = showBatch;
    this.refusal = checkAddress(receiver.url, settings.address);
  }

  /**
   * The letter, or why there is none. Its body is the same on every try: it is made of what does not change any more.
   *
   * @param now Unix milliseconds.
   */
  async write(delivery: DueDelivery, now: number): Promise<Letter | SendOutcome> {
    if (this.refusal !== null) return impossible(`blocked: the address ${this.refusal}`);
    const body = await this.bodyOf(delivery);
    if (typeof body !== "string") return body;
    const headers = {
      "Content-Type": "application/json",
      "User-Agent": "Sluice-Webhooks/1",
      ...(delivery.trace === null ? {} : traceHeaders(delivery.trace)),
      ...(await this.proofOf(delivery, Math.floor(now / 1000), body)),
    };
    return { url: this.receiver.url, headers, body };
  }

  private async bodyOf(delivery: DueDelivery): Promise<string | SendOutcome> {
    const { type, run_id, batch_id, job_id, created_at } = delivery;
    const { project_id } = this.receiver;
    const timestamp = new Date(created_at).toISOString();
    if (run_id === null) {
      if (delivery.batch === null) return impossible("the batch operation is no longer kept");
      const data = this.showBatch(delivery.batch);
      return JSON.stringify({ type, batch_id, job_id, project_id, timestamp, data });
    }
    if (delivery.run === null) return impossible("the run is no longer kept");
    const { status, attempt, error, metadata } = delivery.run;
    const result = await this.resultOf(delivery.run);
    if (result === undefined) return impossible("the run's result is no longer kept");
    const head = JSON.stringify({ type, run_id, job_id, project_id, batch_id, status, attempt });
    const tail = JSON.stringify({ error, metadata, timestamp });
    // The result as the endpoint gave it: parsed and written again, long numbers would lose digits.
    return `${head.slice(0, -1)},"result":${result ?? "null"},${tail.slice(1)}`;
  }

  /** Raw JSON; null for none, undefined where it is gone. */
  private async resultOf({ result, result_ref }: ToldRun): Promise<string | null | undefined> {
    if (result_ref === null) return result;
    return (await this.env.BLOBS.get(result_ref))?.text();
  }

  private async proofOf({ id, job_id, secret }: DueDelivery, timestamp: number, body: string) {
    if (secret !== null) return signatureHeaders(await this.keysOf(job_id, secret), id, timestamp, body);
    return { "X-Strait-Timestamp": String(timestamp), "webhook-id": id, "webhook-timestamp": String(timestamp) };
  }

  private keysOf(jobId: string, secret: Sealed): Promise<SigningKeys> {
    const known = this.keys.get(secret);
    if (known !== undefined) return known;
    const opening = this.open(jobId, secret).then(signingKeys);
    this.keys.set(secret, opening);
    return opening;
  }

  private async open(jobId: string, secret: Sealed): Promise<string> {
    const { encryptionKeys } = this.settings;
    if (encryptionKeys === null) throw new Error("ENCRYPTION_KEYS is not set");
    return openSealed(encryptionKeys, secret, secretAad(jobId, "webhook_secret"));
  }
}
