import { Field } from "../../ui/page";

/** Options of a submission as they are typed; an empty one is not sent. */
export interface Options {
  name: string;
  labels: string;
  priority: string;
  rate: string;
  concurrency: string;
  deadline: string;
  stopShare: string;
  webhook: string;
  email: string;
  cache: string;
}

export const NO_OPTIONS: Options = {
  name: "",
  labels: "",
  priority: "normal",
  rate: "",
  concurrency: "",
  deadline: "",
  stopShare: "",
  webhook: "",
  email: "",
  cache: "",
};

/** The labels of a text such as `team=a, region=west`. */
export function labelsOf(text: string): Record<string, string> {
  const pairs = text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part.includes("="));
  return Object.fromEntries(
    pairs.map((part) => [part.slice(0, part.indexOf("=")).trim(), part.slice(part.indexOf("=") + 1).trim()]),
  );
}

/** The terms and reuse options, as the API names them. */
export function termsOf(options: Options): Record<string, unknown> {
  return {
    ...(options.rate ? { rate: { per_second: Number(options.rate) } } : {}),
    ...(options.concurrency ? { concurrency: Number(options.concurrency) } : {}),
    ...(options.deadline ? { deadline: new Date(options.deadline).toISOString() } : {}),
    ...(options.stopShare ? { failure_threshold: { share: Number(options.stopShare) / 100 } } : {}),
    ...(options.cache ? { cache: options.cache } : {}),
  };
}

export function OptionFields({ options, onChange }: { options: Options; onChange: (options: Options) => void }) {
  const field = (name: keyof Options) => ({
    id: `option-${name}`,
    value: options[name],
    onChange: (event: { target: { value: string } }) => onChange({ ...options, [name]: event.target.value }),
  });
  return (
    <div className="grid-form">
      <Field id="option-name" label="Name" hint="For people">
        <input maxLength={200} {...field("name")} />
      </Field>
      <Field id="option-labels" label="Labels" hint="key=value, divided by commas">
        <input placeholder="team=a, region=west" {...field("labels")} />
      </Field>
      <Field id="option-priority" label="Priority">
        <select {...field("priority")}>
          <option value="immediate">immediate</option>
          <option value="normal">normal</option>
          <option value="low">low</option>
        </select>
      </Field>
      <Field id="option-rate" label="Items a second, at most" hint="Destinations have rates of their own">
        <input type="number" min="0.000001" step="any" {...field("rate")} />
      </Field>
      <Field id="option-concurrency" label="Items at once, at most">
        <input type="number" min="1" step="1" {...field("concurrency")} />
      </Field>
      <Field id="option-deadline" label="Deadline" hint="Items left then expire">
        <input type="datetime-local" {...field("deadline")} />
      </Field>
      <Field id="option-stopShare" label="Stop when failures exceed" hint="Per cent of the items that have ended">
        <input type="number" min="0" max="99" step="any" {...field("stopShare")} />
      </Field>
      <Field id="option-cache" label="Cached results">
        <select {...field("cache")}>
          <option value="">as the workload says</option>
          <option value="use">use</option>
          <option value="refresh">compute anew</option>
          <option value="off">off</option>
        </select>
      </Field>
      <Field id="option-webhook" label="Webhook at the end">
        <input type="url" placeholder="https://…" {...field("webhook")} />
      </Field>
      <Field id="option-email" label="E-mail at the end">
        <input type="email" {...field("email")} />
      </Field>
    </div>
  );
}
