import { Icon } from "../../ui/icon";
import { countOf, excerpt, whole } from "../../ui/text";
import { Words } from "../../ui/words";
import type { Check } from "./send";

const SHOWN = 8;

/** What a submission would meet. */
export function CheckResult({ check }: { check: Check }) {
  const unknown = Object.entries(check.unknown_fields);
  return (
    <div className="stack" role="status">
      <div className={check.acceptable ? "callout good" : "callout bad"}>
        <Icon name={check.acceptable ? "completed" : "warning"} />
        <span>
          <b>{check.acceptable ? "It would be accepted." : "It would be refused."}</b>{" "}
          {countOf(check.valid, "valid item")}
          {check.error_count > 0 && `, ${whole(check.error_count)} wrong`}
          {!check.whole && "; the rest was not checked"}
        </span>
      </div>
      {check.problems.map((problem) => (
        <p key={problem.code}>
          <Words text={problem.detail} length={2_000} />
        </p>
      ))}
      {check.errors.length > 0 && (
        <ul className="note">
          {check.errors.slice(0, SHOWN).map((each) => (
            <li key={`${each.line ?? ""}${each.pointer ?? ""}${each.detail}`}>
              {each.line != null && <b>line {whole(each.line)}: </b>}
              <Words text={each.detail} length={2_000} />
            </li>
          ))}
          {check.error_count > SHOWN && <li>… and {whole(check.error_count - SHOWN)} more</li>}
        </ul>
      )}
      {(check.duplicates > 0 || unknown.length > 0 || check.destinations.length > 0) && (
        <dl className="facts">
          {check.duplicates > 0 && (
            <>
              <dt>doubles</dt>
              <dd>{countOf(check.duplicates, "item repeats", "items repeat")} an earlier one</dd>
            </>
          )}
          {unknown.length > 0 && (
            <>
              <dt>ignored</dt>
              <dd>
                {unknown.map(([name, number]) => `${excerpt(name, 40)} (${whole(number)})`).join(", ")}: the workload
                knows no such field
              </dd>
            </>
          )}
          {check.destinations.length > 0 && (
            <>
              <dt>destinations</dt>
              <dd>
                {check.destinations
                  .slice(0, SHOWN)
                  .map((each) => `${excerpt(each.partition, 60)} (${whole(each.items)})`)
                  .join(", ")}
                {check.destinations.length > SHOWN && ", …"}
              </dd>
            </>
          )}
        </dl>
      )}
    </div>
  );
}
