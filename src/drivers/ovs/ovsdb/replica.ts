import { AgentError } from '../../../model/errors.js';
import type { DatabaseSchema } from './schema.js';
import { applyDifference, decodeValue, defaultValue, sameValue } from './values.js';
import type { ColumnType, OvsdbValue } from './values.js';

/** Column → value; only columns asked for. Never changed in place: a changed row is another object. */
export type Row = ReadonlyMap<string, OvsdbValue>;
export interface RowChange {
  readonly table: string;
  readonly uuid: string;
  /** Absent: the row is new. */
  readonly before?: Row;
  /** Absent: the row is gone. */
  readonly after?: Row;
}
/** Table → columns to keep. */
export type Selection = Readonly<Record<string, readonly string[]>>;

type Columns = ReadonlyMap<string, ColumnType>;
type Tables = Map<string, Map<string, Row>>;

/**
 * The rows of the tables asked for, as last heard. Every method that changes it answers what truly changed, and changes nothing
 * when it throws (E_PARSE: the update fits neither the schema nor what we have; read everything anew).
 */
export class Replica {
  private tables: Tables = new Map();
  private columns: ReadonlyMap<string, Columns> = new Map();
  private shape = '';

  constructor(private readonly selection: Selection) {
    for (const table of Object.keys(selection)) this.tables.set(table, new Map());
  }

  /** UUID → row; empty for tables that were not asked for or that the database has not got. */
  table(name: string): ReadonlyMap<string, Row> {
    return this.tables.get(name) ?? new Map<string, Row>();
  }

  /**
   * Must be called before anything is applied. Answers what of the selection this schema has, what it lacks ("Interface.ifindex"), and whether that is anything
   * else than before: the rows here are then no base for updates.
   */
  useSchema(schema: DatabaseSchema): { readonly selection: Selection; readonly missing: readonly string[]; readonly changed: boolean } {
    const columns = new Map<string, Columns>();
    const missing: string[] = [];
    for (const [table, wanted] of Object.entries(this.selection)) {
      const known = schema.tables.get(table);
      if (known === undefined) {
        missing.push(table);
        continue;
      }
      const kept = new Map<string, ColumnType>();
      for (const column of wanted) {
        const type = known.get(column);
        if (type === undefined) missing.push(`${table}.${column}`);
        else kept.set(column, type);
      }
      columns.set(table, kept);
    }
    const shape = JSON.stringify([...columns].map(([table, kept]) => [table, ...kept]));
    const changed = shape !== this.shape;
    this.shape = shape;
    this.columns = columns;
    return {
      changed,
      selection: Object.fromEntries([...columns].map(([table, kept]) => [table, [...kept.keys()]])),
      missing,
    };
  }

  /** <table-updates> of RFC 7047, section 4.1.6. */
  apply(updates: unknown): readonly RowChange[] {
    return commit(this.tables, this.read(updates, this.tables, readUpdate));
  }

  /** <table-updates2> of ovsdb-server(7). */
  apply2(updates: unknown): readonly RowChange[] {
    return commit(this.tables, this.read(updates, this.tables, readUpdate2));
  }

  /** What a first answer holds becomes everything there is; the changes are those against what was here. */
  replace(updates: unknown, version: 1 | 2): readonly RowChange[] {
    const fresh: Tables = new Map(Object.keys(this.selection).map((table) => [table, new Map<string, Row>()]));
    commit(fresh, this.read(updates, fresh, version === 1 ? readUpdate : readUpdate2));
    const changes: RowChange[] = [];
    for (const [table, rows] of fresh) {
      const old = this.table(table);
      for (const [uuid, after] of rows) {
        const before = old.get(uuid);
        if (before === undefined) changes.push({ table, uuid, after });
        else if (sameRow(before, after)) rows.set(uuid, before);
        else changes.push({ table, uuid, before, after });
      }
      for (const [uuid, before] of old) if (!rows.has(uuid)) changes.push({ table, uuid, before });
    }
    this.tables = fresh;
    return changes;
  }

  private read(updates: unknown, tables: Tables, readRow: RowReader): readonly RowChange[] {
    const changes: RowChange[] = [];
    for (const [table, rows] of Object.entries(objectOf(updates))) {
      const columns = this.columns.get(table);
      if (columns === undefined) throw wrong(`an update of table ${table}, which was not asked for`);
      for (const [uuid, update] of Object.entries(objectOf(rows))) {
        const before = tables.get(table)?.get(uuid);
        const after = readRow(columns, before, objectOf(update));
        if (before === undefined ? after === undefined : after !== undefined && sameRow(before, after)) continue;
        changes.push({ table, uuid, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) });
      }
    }
    return changes;
  }
}

function commit(tables: Tables, changes: readonly RowChange[]): readonly RowChange[] {
  for (const { table, uuid, after } of changes) {
    if (after === undefined) tables.get(table)?.delete(uuid);
    else tables.get(table)?.set(uuid, after);
  }
  return changes;
}

/** The row after the update; undefined when it is gone. */
type RowReader = (columns: Columns, before: Row | undefined, update: Readonly<Record<string, unknown>>) => Row | undefined;

const readUpdate: RowReader = (columns, _before, update) => {
  if (update['new'] === undefined) return undefined;
  const json = objectOf(update['new']);
  return new Map([...columns].map(([column, type]) => [column, json[column] === undefined ? defaultValue(type) : decodeValue(type, json[column])]));
};

const readUpdate2: RowReader = (columns, before, update) => {
  if ('delete' in update) return undefined;
  const whole = update['initial'] ?? update['insert'];
  if (whole !== undefined) {
    const json = objectOf(whole);
    return new Map([...columns].map(([column, type]) => [column, json[column] === undefined ? defaultValue(type) : decodeValue(type, json[column])]));
  }
  if (update['modify'] === undefined) throw wrong('a row update of an unknown kind');
  if (before === undefined) throw wrong('a change of a row that is not known');
  const after = new Map(before);
  for (const [column, difference] of Object.entries(objectOf(update['modify']))) {
    const type = columns.get(column);
    if (type === undefined) throw wrong(`an update of column ${column}, which was not asked for`);
    after.set(column, applyDifference(type, before.get(column), difference));
  }
  return after;
};

function sameRow(left: Row, right: Row): boolean {
  if (left.size !== right.size) return false;
  for (const [column, value] of left) if (!right.has(column) || !sameValue(value, right.get(column))) return false;
  return true;
}

function objectOf(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw wrong('an update that is no object');
  return json as Readonly<Record<string, unknown>>;
}

const wrong = (what: string): AgentError => new AgentError('E_PARSE', `the database sent ${what}`, { object: 'OVSDB' });
