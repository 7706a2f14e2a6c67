import { useMeta } from "../../api/queries";
import { singleKeys, theme, timeZone } from "../../app/preferences";
import { useStore } from "../../app/store";
import { Field, PageHead } from "../../ui/page";
import { Loaded, Panel } from "../../ui/panel";
import { bytes, whole } from "../../ui/text";
import { ExactTime } from "../../ui/time";

/** The choices of the reader for this browser, and the facts of this Batchyard. */
export default function Settings() {
  const meta = useMeta();
  const chosenTheme = useStore(theme);
  const zone = useStore(timeZone);
  const keys = useStore(singleKeys);
  return (
    <>
      <PageHead title="Settings" tab="Settings" />
      <div className="columns">
        <Panel title="This browser">
          <div className="panel-body stack">
            <Field id="theme" label="Theme">
              <select
                id="theme"
                value={chosenTheme}
                onChange={(event) => theme.set(event.target.value as "system" | "light" | "dark")}
              >
                <option value="system">as the system</option>
                <option value="light">light</option>
                <option value="dark">dark</option>
              </select>
            </Field>
            <Field id="zone" label="Times">
              <select id="zone" value={zone} onChange={(event) => timeZone.set(event.target.value as "utc" | "local")}>
                <option value="local">local</option>
                <option value="utc">UTC</option>
              </select>
            </Field>
            <label className="choice">
              <input type="checkbox" checked={keys} onChange={(event) => singleKeys.set(event.target.checked)} />
              Single letters act. Press ? for the list.
            </label>
          </div>
        </Panel>
        <Panel title="This Batchyard">
          <Loaded query={meta}>
            {(data) => (
              <div className="panel-body">
                <dl className="facts">
                  <dt>Version</dt>
                  <dd>{data.version}</dd>
                  <dt>Time there</dt>
                  <dd>
                    <ExactTime at={data.time} />
                  </dd>
                  <dt>You are</dt>
                  <dd>{data.owner}</dd>
                  <dt>Your scopes</dt>
                  <dd className="row" style={{ gap: 4 }}>
                    {data.scopes.map((scope) => (
                      <span key={scope} className="tag">
                        {scope}
                      </span>
                    ))}
                  </dd>
                  {Object.entries(data.limits).map(([name, value]) => (
                    <div key={name} style={{ display: "contents" }}>
                      <dt>{name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ")}</dt>
                      <dd>{name.endsWith("bytes") ? bytes(value) : whole(value)}</dd>
                    </div>
                  ))}
                  <dt>Licences</dt>
                  <dd>
                    <a href="/assets/licences.txt">of the packages in this page</a>
                  </dd>
                </dl>
              </div>
            )}
          </Loaded>
        </Panel>
      </div>
    </>
  );
}
