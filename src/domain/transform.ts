import type { CsvFormat } from "./csv-format.ts";

/** A transform: how the rows of an object become payloads (contract 9). */

export const COLUMN_TYPES = [
  ...([
    "string",
    "boolean",
    "double",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
  ] as const),
  ...(["datetime", "epoch", "uuid", "ip", "array", "map"] as const),
] as const;
export type ColumnType = (typeof COLUMN_TYPES)[number];

export const EPOCH_UNITS = ["s", "ms", "us", "ns"] as const;
export type EpochUnit = (typeof EPOCH_UNITS)[number];

export const COMPRESSIONS = ["auto", "none", "gzip", "zstd"] as const;

/** Where a column's value stands; exactly one of them. Absent: the field of the column's name, or in CSV the column's place. */
export interface ColumnSource {
  from_input_index?: number;
  from_input_field?: string;
  from_json_pointers?: string[];
}

export interface Column {
  name: string;
  datatype: {
    type: ColumnType;
    /** The row's time: partitions span at most `max_minutes_per_partition` of it. */
    primary?: boolean;
    /** A Go layout for `datetime`, a unit for `epoch`. */
    format?: string;
    source?: ColumnSource;
    /** Stands for a missing or null value only. */
    default?: unknown;
    /** Not read and not sent. */
    ignore?: boolean;
    /** Read and checked, but not sent. */
    suppress?: boolean;
    /** Not in the input: always its default. */
    virtual?: boolean;
  };
}

export interface TransformSettings {
  compression?: (typeof COMPRESSIONS)[number];
  /** Texts that mean null. */
  null_values?: string[];
  format_details?: Partial<CsvFormat>;
  output_columns?: Column[];
}

export interface TransformSpec {
  type: "json" | "csv";
  settings: TransformSettings;
}
