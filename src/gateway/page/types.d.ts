// Objects of the API, for the type check of the page. Not served.

export type Right =
  "desk" | "claim" | "export" | "directory" | "accounts" | "audit" | "states" | "webhooks" | "reveal";

export type Role = "wallboard" | "agent" | "supervisor" | "integrator" | "admin";

export interface Me {
  name: string | null;
  display_name: string | null;
  role: Role;
  sites: string[] | null;
  extension: string | null;
  signed_in: boolean;
  numbers: "full" | "masked";
  may: Right[];
  needs_password?: boolean;
}

export interface User {
  name: string;
  display_name: string | null;
  role: Role;
  sites: string[] | null;
  extension: string | null;
  has_password: boolean;
  disabled: boolean;
}

export interface Token {
  name: string;
  role: Role;
  sites: string[] | null;
  created_at: string;
  revoked_at: string | null;
}

export interface Webhook {
  id: string;
  url: string;
  events: string[];
  sites: string[] | null;
  enabled: boolean;
  disabled_reason: string | null;
  failing_since: string | null;
}

export interface Delivery {
  message: string;
  event: string;
  state: "waiting" | "delivered" | "failed";
  created_at: string;
  attempts: number;
  answered: number | null;
  error: string | null;
}

export interface Party {
  number: string | null;
  e164: string | null;
  name: string | null;
}

export interface Participant {
  extension: string | null;
  mac: string | null;
  role: "caller" | "callee" | "transfer_target";
  rang_at: string | null;
  answered_at: string | null;
  left_at: string | null;
  outcome: "ringing" | "talking" | "answered" | "answered_elsewhere" | "rejected" | "missed" | "unanswered";
}

export type Confidence = "high" | "medium" | "low";

export interface Call {
  id: string;
  site: string;
  direction: "inbound" | "outbound" | "internal";
  status: "initiated" | "ringing" | "answered" | "on_hold" | "transferring" | "completed" | "failed";
  outcome: string | null;
  from: Party;
  to: Party;
  requested: Party;
  answered_by: { extension: string | null; mac: string | null; agent: string | null } | null;
  started_at: string;
  answered_at: string | null;
  ended_at: string | null;
  end_reason: string | null;
  ring_seconds: number | null;
  talk_seconds: number | null;
  total_seconds: number | null;
  participants: Participant[];
  missed_extensions: string[];
  links: { kind: "transfer" | "callback" | "repeat" | "by_hand"; call_id: string; confidence: Confidence; reason: string | null }[];
  joins: { kind: "transfer" | "pickup" | "rering"; extension: string | null; confidence: Confidence; reason: string | null }[];
  transfer: { kind: string; state: string; to: Party | string | null; reason: string | null } | null;
  pickup: boolean;
  origin: string | null;
  confidence: Confidence;
  reason: string | null;
  late_events: number;
}

export interface CallPage {
  calls: Call[];
  next_cursor: string | null;
}

export interface Fact {
  at: string;
  mac: string | null;
  extension: string | null;
  event: string;
  remote: string | null;
  rule: string;
  meaning: string;
}

export interface Explanation {
  call_id: string;
  facts: Fact[];
  conclusions: string[];
  confidence: Confidence;
  reason: string | null;
}

/** What another program did in a call. */
export interface ProgramEvent {
  event_type: string;
  timestamp: string;
  data: Record<string, unknown> | null;
}

export type Disposition = "reached" | "not_needed" | "unreachable" | "wrong_number";

export interface Missed {
  call_id: string;
  call_ids?: string[];
  site: string;
  from: Party;
  cause: "missed" | "transfer_failed";
  missed_extensions: string[];
  missed_at: string;
  waited_seconds: number | null;
  status: "open" | "assigned" | "done";
  assigned_to: string | null;
  note: string | null;
  disposition: Disposition | null;
  calls: number;
  first_missed_at: string | null;
  /** The instant until which the caller is to be called back. */
  due_at: string;
  /** The site was closed when the latest call was missed. */
  off_hours: boolean;
  changed_at: string | null;
  changed_by: string | null;
  /** The instant of the list that brought the entry. */
  read_at?: string;
  reached_by: { call_id: string; extension: string | null; started_at: string } | null;
}

/** Callers who waited for a call back in a period. */
export interface DeskStatistics {
  callers: number;
  open: number;
  assigned: number;
  done: number;
  reached: number;
  reached_in_goal: number;
  overdue: number;
  off_hours: number;
  median_seconds: number | null;
  p90_seconds: number | null;
  dispositions: Record<string, number>;
  people: { name: string; done: number }[];
  is_complete: boolean;
}

export interface Goals {
  answer_goal_seconds: number;
  desk_goal_minutes: number;
  desk_escalation_minutes: number;
}

export interface Opening {
  days: string[];
  from: string;
  to: string;
}

export interface SiteInForce {
  site: string;
  in_force: Goals;
  is_open: boolean;
  rules: {
    answer_goal_seconds: number | null;
    desk_goal_minutes: number | null;
    desk_escalation_minutes: number | null;
    time_zone: string | null;
    hours: Opening[];
  };
}

export interface Stat {
  site: string;
  hour: string;
  direction: Call["direction"];
  calls: number;
  answered: number;
  missed: number;
  ring_seconds: number;
  talk_seconds: number;
}

export interface Device {
  mac: string;
  last_seen: string | null;
  extension: string | null;
  model: string | null;
  firmware: string | null;
  dnd_since: string | null;
}

export interface Extension {
  extension: string;
  first_report: string | null;
  agent: string | null;
  name: string | null;
}

export interface Person {
  name: string;
  display_name: string | null;
  extension: string | null;
  /** The name of the account with the extension. */
  account: string | null;
  helplines: string[];
  state: "available" | "ringing" | "talking" | "holding" | "dnd" | "paused" | "offline";
  since: string | null;
  reason: string | null;
  window_open: boolean;
}

export interface Helpline {
  number: string;
  name: string | null;
  members: string[];
}

export interface Earlier {
  call_id: string;
  started_at: string;
  direction: string;
  outcome: string | null;
  extension: string | null;
  talk_seconds: number;
}

export interface Contact {
  name: string;
  company: string | null;
  url: string | null;
}

export interface StoredContact {
  site: string;
  number: string;
  name: string;
  company: string;
  url: string;
}

export interface CallerNote {
  text: string;
  /** `-` where there are no accounts. */
  written_by: string;
  written_at: string;
}

/** What is known about the caller of a call. */
export interface Caller {
  /** The name of the only contact, or the company of all of them. */
  caller_name: string | null;
  /** Several where the number has several: one of them calls. */
  contacts: Contact[];
  note: CallerNote | null;
  url: string | null;
  history: Earlier[];
}

export interface Popup extends Caller {
  id: string;
  call_id: string;
  kind: "ring" | "talk" | "handover" | "missed" | "withdrawn" | "taken" | "gone";
  since: string;
  caller: Party;
  for: { kind: "extension" | "helpline"; number: string | null; name: string | null };
  claimed_by: { name: string; display_name: string | null } | null;
  mine: boolean;
  /** False where it rings at other phones of a helpline of the agent. */
  at_phone: boolean;
  handed_over_by: { extension: string | null; name: string | null } | null;
  also_ringing: string[];
}

/** A schema of the OpenAPI document, as far as the page shows it. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
}

export interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  parameters?: {
    name: string;
    in: "query" | "path" | "header" | "cookie";
    description?: string;
    schema?: Schema;
  }[];
  requestBody?: { content: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
  security?: unknown[];
}

/** The OpenAPI document. */
export interface Description {
  info: { version: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation | undefined>>;
  components: { schemas: Record<string, Schema> };
}

export interface Message {
  type: string;
  id: string | null;
  data: any;
}

export interface View {
  title(): string;
  /** Follows a change of the query that the page itself or the history made. */
  query?(): void;
  /** A live event. */
  event?(message: Message): void;
  /** One second passed. */
  tick?(): void;
  /** A single key outside of fields; true if it was used. */
  key?(key: string): boolean;
  stop?(): void;
}
