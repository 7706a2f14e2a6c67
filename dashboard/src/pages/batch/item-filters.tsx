import { Icon } from "../../ui/icon";
import { Field } from "../../ui/page";
import { excerpt } from "../../ui/text";

type Change = (changes: Record<string, string | null>) => void;

/** The field for the item from which a list goes on. `after` is the ordinal before it. */
export function FromItem({ id, after, change }: { id: string; after: string | null; change: Change }) {
  return (
    <Field id={id} label="From item">
      <input
        id={id}
        key={after}
        type="number"
        data-filter=""
        min="0"
        placeholder="0"
        defaultValue={after === null ? "" : Number(after) + 1}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          const from = Math.floor(Number(event.currentTarget.value));
          change({ after: from > 0 ? String(from - 1) : null });
        }}
      />
    </Field>
  );
}

/** The button that takes back a filter by cause, to which only links lead. */
export function OneCause({ cause, change }: { cause: string | null; change: Change }) {
  if (!cause) return null;
  return (
    <button type="button" className="button small" onClick={() => change({ cause: null, after: null })}>
      only one cause
      <Icon name="close" size={13} />
    </button>
  );
}

/** The number of an item, which opens it, and its custom id. */
export function ItemName({
  item,
  onOpen,
}: {
  item: { ordinal: number; custom_id?: string | null };
  onOpen: () => void;
}) {
  return (
    <div>
      <button type="button" className="link-button" data-row="" aria-label={`Item ${item.ordinal}`} onClick={onOpen}>
        #{item.ordinal}
      </button>
      {item.custom_id && <span className="sub">{excerpt(item.custom_id, 128)}</span>}
    </div>
  );
}
