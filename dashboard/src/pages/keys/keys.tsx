import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useMeta } from "../../api/queries";
import { type Scope, useScope } from "../../app/access";
import { CopyButton } from "../../ui/code";
import { Confirm, Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Field, PageHead, ScopedButton } from "../../ui/page";
import { Empty, ErrorMessage, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { Table } from "../../ui/table";
import { countOf, excerpt } from "../../ui/text";
import { Time, useNow } from "../../ui/time";
import { say } from "../../ui/toast";

type Key = Schemas["KeyView"];

const MEANINGS: [Scope, string][] = [
  ["batches:read", "see batches and their progress"],
  ["batches:write", "submit, control and retry batches"],
  ["results:read", "read results"],
  ["schedules:write", "change schedules and templates"],
  ["webhooks:write", "name webhooks"],
  ["keys:write", "create and revoke keys, read the audit"],
  ["operate", "act for all owners: rates, dead letters, limits"],
  ["payloads:read", "read payloads and results of other owners"],
];

export default function Keys() {
  const write = useScope("keys:write");
  const [open, setOpen] = useState<"create" | null>(null);
  const [revoked, setRevoked] = useState<Key | null>(null);
  const query = useQuery({
    queryKey: ["keys"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/keys", { signal })),
    enabled: write.allowed,
  });
  return (
    <>
      <PageHead
        title="Keys"
        tab="Keys"
        lead="An API key proves who a client is. It has scopes, and may expire. This page is signed in with one as well."
      >
        <ScopedButton {...write} className="button primary" onClick={() => setOpen("create")}>
          <Icon name="submit" size={14} />
          Create a key
        </ScopedButton>
      </PageHead>
      <Panel title="API keys" count={query.data && countOf(query.data.keys.length, "key")}>
        {write.allowed ? (
          <Loaded query={query}>
            {({ keys }) =>
              keys.length === 0 ? (
                <Empty title="No key exists">
                  <p>The first key makes keys required for all requests.</p>
                </Empty>
              ) : (
                <KeyTable keys={keys} onRevoke={setRevoked} canWrite={write} />
              )
            }
          </Loaded>
        ) : (
          <Empty title={write.why}>
            <p>The keys of an owner are shown to those who may change them.</p>
          </Empty>
        )}
      </Panel>
      {open === "create" && <CreateDialog onClose={() => setOpen(null)} />}
      {revoked && <Revoke apiKey={revoked} onClose={() => setRevoked(null)} />}
    </>
  );
}

function stateOf(key: Key, now: number): string {
  if (key.revoked_at) return "revoked";
  return key.expires_at && Date.parse(key.expires_at) <= now ? "expired" : "active";
}

function KeyTable({
  keys,
  onRevoke,
  canWrite,
}: {
  keys: Key[];
  onRevoke: (key: Key) => void;
  canWrite: { allowed: boolean; why: string };
}) {
  const now = useNow();
  const ordered = [...keys].sort(
    (one, other) => Number(stateOf(one, now) !== "active") - Number(stateOf(other, now) !== "active"),
  );
  return (
    <Table label="API keys" columns={["Name", "State", "Scopes", "Created", "Last used", "Expires", ""]}>
      {ordered.map((key) => (
        <tr key={key.id}>
          <td data-label="Name">
            <div>
              <b>{excerpt(key.name, 100)}</b>
              <span className="sub">
                <code>{excerpt(key.hint, 40)}</code> · {excerpt(key.owner, 60)}
              </span>
            </div>
          </td>
          <td data-label="State">
            <State name={stateOf(key, now)} />
          </td>
          <td data-label="Scopes">
            <span className="row" style={{ gap: 4 }}>
              {key.scopes.map((scope) => (
                <span key={scope} className="tag">
                  {scope}
                </span>
              ))}
            </span>
          </td>
          <td data-label="Created">
            <Time at={key.created_at} />
          </td>
          <td data-label="Last used">
            <div>
              {key.last_used_at ? <Time at={key.last_used_at} /> : <span className="quiet">never</span>}
              {key.last_used_from && <span className="sub nowrap">from {excerpt(key.last_used_from, 60)}</span>}
            </div>
          </td>
          <td data-label="Expires">
            {key.expires_at ? <Time at={key.expires_at} /> : <span className="quiet">never</span>}
          </td>
          <td data-label="">
            {stateOf(key, now) === "active" && (
              <ScopedButton {...canWrite} className="button small danger" onClick={() => onRevoke(key)}>
                Revoke…
              </ScopedButton>
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const meta = useMeta();
  const [name, setName] = useState("");
  const [days, setDays] = useState("");
  const [scopes, setScopes] = useState<Scope[]>(["batches:read", "batches:write", "results:read"]);
  const [saved, setSaved] = useState(false);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.POST("/api/v1/keys", {
          body: {
            name,
            scopes,
            ...(days ? { expires_at: new Date(Date.now() + Number(days) * 86_400_000).toISOString() } : {}),
          } as Schemas["KeyRequest"],
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
    gcTime: 0, // the answer has a secret
  });
  const created = act.data;
  if (created) {
    return (
      <Dialog title="Your new key" onClose={onClose} closable={saved}>
        <p>It is shown this once only. Keep it where secrets belong.</p>
        <div className="secret">
          <code data-secret="">{created.key}</code>
          <CopyButton text={created.key} label="Copy the key" />
        </div>
        <label className="choice">
          <input type="checkbox" checked={saved} onChange={(event) => setSaved(event.target.checked)} />I have saved it
        </label>
        <div className="dialog-foot">
          <button type="button" className="button primary" disabled={!saved} onClick={onClose}>
            Done
          </button>
        </div>
      </Dialog>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.mutate();
  };
  return (
    <Dialog title="Create a key" onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Field id="key-name" label="What it is for">
          <input
            id="key-name"
            required
            maxLength={100}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </Field>
        <fieldset className="field">
          <legend>It may</legend>
          {MEANINGS.map(([scope, meaning]) => {
            const held = meta.data?.scopes.includes(scope) ?? false;
            return (
              <label key={scope} className="choice" title={held ? undefined : `Your key lacks the scope ${scope}.`}>
                <input
                  type="checkbox"
                  disabled={!held}
                  checked={scopes.includes(scope)}
                  onChange={(event) =>
                    setScopes(event.target.checked ? [...scopes, scope] : scopes.filter((each) => each !== scope))
                  }
                />
                <span className={held ? undefined : "quiet"}>
                  {meaning} <code className="quiet">{scope}</code>
                </span>
              </label>
            );
          })}
        </fieldset>
        <Field id="key-days" label="Days until it expires" hint="Empty: never">
          <input
            id="key-days"
            type="number"
            min="1"
            max="3650"
            value={days}
            onChange={(event) => setDays(event.target.value)}
          />
        </Field>
        {act.error && <ErrorMessage error={act.error} />}
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={act.isPending || name.trim() === "" || scopes.length === 0}
          >
            Create
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Revoke({ apiKey, onClose }: { apiKey: Key; onClose: () => void }) {
  const client = useQueryClient();
  const session = useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/session", { signal })),
  });
  const [typed, setTyped] = useState("");
  const isOwn = session.data?.key_id === apiKey.id;
  const name = excerpt(apiKey.name, 60);
  const act = useMutation({
    mutationFn: () => bodyOf(api.DELETE("/api/v1/keys/{key_id}", { params: { path: { key_id: apiKey.id } } })),
    onSuccess: () => {
      say(`“${name}” is revoked on every server`);
      client.invalidateQueries({ queryKey: ["keys"] });
      onClose();
    },
  });
  return (
    <Confirm
      title={`Revoke “${name}”?`}
      act="Revoke"
      danger
      busy={act.isPending}
      ready={!isOwn || typed === name}
      onClose={onClose}
      onAct={() => act.mutate()}
    >
      <p>It ends within a second on every server, with its sessions and WebSockets. Its batches go on.</p>
      {isOwn && (
        <Field id="typed-name" label={`This page is signed in with it. Type ${name}`}>
          <input id="typed-name" autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
        </Field>
      )}
      {act.error && <ErrorMessage error={act.error} />}
    </Confirm>
  );
}
