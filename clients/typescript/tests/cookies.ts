/** A browser's part in sessions in cookies: it keeps the cookies, and sends them with its origin. */
export class Browser {
  readonly jar = new Map<string, string>();
  readonly sent: Request[] = [];
  /** A delay of a response. */
  delay: (request: Request, response: Response) => Promise<unknown> = () => Promise.resolve();

  readonly fetch = async (request: Request): Promise<Response> => {
    const cookies = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    if (request.credentials === "include") request.headers.set("Cookie", cookies);
    request.headers.set("Sec-Fetch-Site", "same-origin");
    this.sent.push(request.clone());
    const response = await fetch(request);
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (name === undefined || value === undefined) continue;
      if (line.includes("Max-Age=0")) this.jar.delete(name);
      else this.jar.set(name, value);
    }
    await this.delay(request, response);
    return response;
  };

  count(path: string): number {
    return this.sent.filter((request) => request.url.endsWith(path)).length;
  }
}
