import type { ReactNode } from "react";

export interface Column {
  name: string;
  isNumber: boolean;
}

/** A column of numbers, which stand at its right. */
export const number = (name: string): Column => ({ name, isNumber: true });

/** A table of rows; on a narrow screen each row is a card, whose fields have the `data-label` of their cells. */
export function Table({
  label,
  columns,
  children,
  className = "",
}: {
  label: string;
  columns: (string | Column)[];
  children: ReactNode;
  className?: string;
}) {
  return (
    <div className="table-wrap">
      <table className={`cards ${className}`.trim()} aria-label={label}>
        <thead>
          <tr>
            {columns.map((each) => {
              const { name, isNumber } = typeof each === "string" ? { name: each, isNumber: false } : each;
              return (
                <th key={name} className={isNumber ? "number" : undefined}>
                  {name}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
