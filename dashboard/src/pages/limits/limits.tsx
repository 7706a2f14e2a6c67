import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useInterval } from "../../api/queries";
import { useScope } from "../../app/access";
import { PageHead } from "../../ui/page";
import { Loaded, Panel } from "../../ui/panel";
import { number, Table } from "../../ui/table";
import { excerpt } from "../../ui/text";
import { LimitsDialog } from "./limits-dialog";
import { LIMITS, limitText } from "./names";

type View = Schemas["LimitsView"];

/** The limits of an owner, and what is in use. */
export default function Limits() {
  const operate = useScope("operate");
  const interval = useInterval(5_000);
  const [edited, setEdited] = useState<{ owner: string | null } | null>(null);
  const own = useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/limits", { signal })),
    refetchInterval: interval,
  });
  const all = useQuery({
    queryKey: ["owners-limits"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/owners/limits", { signal })),
    enabled: operate.allowed,
    refetchInterval: interval,
  });
  return (
    <>
      <PageHead title="Limits" tab="Limits" lead="What your owner may use, and what is in use." />
      <Panel title={own.data ? `Limits of ${excerpt(own.data.owner, 60)}` : "Your limits"}>
        <Loaded query={own} lines={6}>
          {(view) => <LimitTable view={view} />}
        </Loaded>
      </Panel>
      {operate.allowed && (
        <Panel
          title="Owners with limits of their own"
          end={
            <button type="button" className="button small" onClick={() => setEdited({ owner: null })}>
              Set limits…
            </button>
          }
        >
          <Loaded query={all}>
            {({ owners }) =>
              owners.length === 0 ? (
                <div className="message">
                  <p>
                    All owners have the limits of the settings. <code>batchyard limits set</code> gives others.
                  </p>
                </div>
              ) : (
                <Table label="Owners with limits of their own" columns={["Owner", "Set", ""]}>
                  {owners.map((view) => (
                    <tr key={view.owner}>
                      <td data-label="Owner">{excerpt(view.owner, 60)}</td>
                      <td data-label="Set">
                        <span className="row" style={{ gap: 4 }}>
                          {Object.entries(view.set).map(([name, value]) => (
                            <span key={name} className="tag">
                              {name.replaceAll("_", " ")} {limitText(name, Number(value))}
                            </span>
                          ))}
                        </span>
                      </td>
                      <td>
                        <button
                          type="button"
                          className="button small"
                          onClick={() => setEdited({ owner: view.owner })}
                          aria-label={`Change the limits of ${view.owner}`}
                        >
                          Change…
                        </button>
                      </td>
                    </tr>
                  ))}
                </Table>
              )
            }
          </Loaded>
        </Panel>
      )}
      {edited && <LimitsDialog owner={edited.owner} onClose={() => setEdited(null)} />}
    </>
  );
}

function LimitTable({ view }: { view: View }) {
  const inUse: Record<string, number> = view.in_use;
  return (
    <Table label="Limits" columns={["Limit", "In use", number("At most")]}>
      {LIMITS.map(([name, words, hint]) => {
        const limit = view.limits[name];
        const used = inUse[name];
        return (
          <tr key={name}>
            <td data-label="Limit">
              <div>
                {words}
                {hint && <span className="sub">{hint}</span>}
              </div>
            </td>
            <td data-label="In use">
              {used === undefined ? (
                <span className="quiet">—</span>
              ) : (
                <div className="progress-cell">
                  <span>{limitText(name, used)}</span>
                  {limit != null && limit > 0 && (
                    <div className="progress" aria-hidden="true">
                      {used > 0 && (
                        <i
                          className={used / limit > 0.9 ? "fill-failed" : "fill-running"}
                          style={{ width: `${Math.min(100, (used / limit) * 100)}%` }}
                        />
                      )}
                    </div>
                  )}
                </div>
              )}
            </td>
            <td data-label="At most" className="number">
              {limit == null ? "as in the settings" : limitText(name, limit)}
              {name in view.set && <span className="sub">set for you</span>}
            </td>
          </tr>
        );
      })}
    </Table>
  );
}
