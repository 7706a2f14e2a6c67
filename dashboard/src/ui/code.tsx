import { type ReactNode, useState } from "react";
import { Icon } from "./icon";
import { indented, visible } from "./text";
import { say } from "./toast";

const MAX_SHOWN = 65_536;

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("This browser does not let the page copy. Select the text and copy it.", "bad");
  }
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  return (
    <button
      type="button"
      className="button bare small icon copy"
      aria-label={label}
      title={label}
      onClick={() => copyText(text)}
    >
      <Icon name="copy" size={14} />
    </button>
  );
}

/** Text of a machine or of strangers: shown as text alone, with invisible characters written out, and cut at 64 kB. */
export function Code({ text, label }: { text: string; label: string }) {
  const isLong = text.length > MAX_SHOWN;
  return (
    <div className="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls has to be reached by keyboard */}
      {/* biome-ignore lint/a11y/useSemanticElements: the text keeps its line breaks */}
      <pre tabIndex={0} role="region" aria-label={label}>
        {options(visible(isLong ? text.slice(0, MAX_SHOWN) : text))}
        {isLong && `\n… ${text.length - MAX_SHOWN} characters more. Copy or download to see all.`}
      </pre>
      <CopyButton text={text} label={`Copy ${label}`} />
    </div>
  );
}

/** A text whose options of a command, such as `--watch`, are not broken at the end of a line. */
function options(text: string): ReactNode {
  return text.split(/( --[a-z][a-z-]{0,40}(?= |$))/m).map((part, at) =>
    at % 2 === 0 ? (
      part
    ) : (
      // biome-ignore lint/suspicious/noArrayIndexKey: parts of a text have no other name than their place
      <span key={at} className="nowrap">
        {part}
      </span>
    ),
  );
}

/** A value as JSON. `raw` is its text if that is known, so that numbers keep their form. */
export function Json({ value, raw, label }: { value?: unknown; raw?: string; label: string }) {
  return <Code text={raw === undefined ? (JSON.stringify(value, null, 2) ?? "null") : indented(raw)} label={label} />;
}

/** A request as other clients send it, one tab for each. */
export function SameIn({ forms }: { forms: [name: string, text: string][] }) {
  const [chosen, setChosen] = useState(0);
  const form = forms[chosen] ?? forms[0];
  if (form === undefined) return null;
  return (
    <div className="stack">
      <fieldset className="segmented" aria-label="Client">
        {forms.map(([name], at) => (
          <button key={name} type="button" aria-pressed={at === chosen} onClick={() => setChosen(at)}>
            {name}
          </button>
        ))}
      </fieldset>
      <Code text={form[1]} label={`the same by ${form[0]}`} />
    </div>
  );
}
