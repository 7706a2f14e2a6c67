import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { api, bodyOf } from "../../api/client";
import { useScope } from "../../app/access";
import { PageHead, ScopedButton } from "../../ui/page";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { number, Table } from "../../ui/table";
import { countOf, excerpt } from "../../ui/text";
import { Time } from "../../ui/time";
import { TemplateDialog } from "./template-dialog";

export default function Templates() {
  const [, go] = useLocation();
  const [open, setOpen] = useState(false);
  const write = useScope("schedules:write");
  const query = useQuery({
    queryKey: ["templates"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/templates", { params: { query: { limit: 200 } }, signal })),
  });
  return (
    <>
      <PageHead
        title="Templates"
        tab="Templates"
        lead="Batches with places that parameters fill, in versions that never change."
      >
        <ScopedButton {...write} className="button primary" onClick={() => setOpen(true)}>
          New template
        </ScopedButton>
      </PageHead>
      {open && <TemplateDialog onClose={() => setOpen(false)} onSaved={(name) => go(`/templates/${name}`)} />}
      <Panel title="Templates" count={query.data && countOf(query.data.templates.length, "template")}>
        <Loaded query={query}>
          {({ templates }) =>
            templates.length === 0 ? (
              <Empty title="There are no templates">
                <p>A template is a saved batch. Schedules and follow-up batches use it.</p>
                <Command text="batchyard templates save template.json" />
              </Empty>
            ) : (
              <Table label="Templates" columns={["Template", "Workload", number("Version"), "Saved"]}>
                {templates.map((each) => (
                  <tr key={`${each.created_by}/${each.name}`}>
                    <td data-label="Template">
                      <div>
                        <Link href={`/templates/${each.name}`} className="main-link" data-row="">
                          {each.name}
                        </Link>
                        <span className="sub">
                          {excerpt(each.description, 160)}
                          {each.shared && " · shared with all owners"}
                        </span>
                      </div>
                    </td>
                    <td data-label="Workload">{each.workload}</td>
                    <td data-label="Version" className="number">
                      {each.version}
                    </td>
                    <td data-label="Saved">
                      <Time at={each.created_at} />
                    </td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
      </Panel>
    </>
  );
}
